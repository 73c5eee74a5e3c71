"""Small charts as coordinates: the templates draw them as SVG on the server, without any script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line in a box: `points` for a polyline, `area` for the polygon under it; the top stands for `highest`."""

    points: str
    area: str
    highest: float
    latest: float
    width: int
    height: int


def line(values: Sequence[float | None], *, width: int = 600, height: int = 120) -> Line:
    """Values, oldest first, spread over the width; gaps count as zero. The bottom is always zero."""
    known = [value or 0.0 for value in values] or [0.0]
    highest = max(known)
    scale = (height - 4) / highest if highest > 0 else 0.0
    step = width / max(1, len(known) - 1)
    pairs = [
        (round(index * step, 1), round(height - 2 - value * scale, 1)) for index, value in enumerate(known)
    ]
    points = " ".join(f"{x},{y}" for x, y in pairs)
    return Line(
        points=points,
        area=f"0,{height} {points} {width},{height}",
        highest=highest,
        latest=known[-1],
        width=width,
        height=height,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar, in percent of its width."""

    label: str
    start: float
    share: float
    colour: int


def bar(parts: Sequence[tuple[str, float]]) -> list[Part]:
    """Parts of a whole side by side; shares are percents that sum to 100."""
    found, start = [], 0.0
    for index, (label, share) in enumerate(parts):
        found.append(Part(label, start, share, index % 4))
        start += share
    return found
