"""Small charts as coordinates: the templates draw them as SVG on the server, without any script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


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


@dataclass(frozen=True, slots=True)
class Band:
    """A part of a ribbon: one version's share between two changes, in a box of 600 by 100."""

    label: str
    share: int
    x: float
    y: float
    width: float
    height: float
    colour: int


def ribbon(
    changes: Sequence[tuple[datetime, Mapping[str, int]]], *, until: datetime, colours: Mapping[str, int]
) -> list[Band]:
    """The traffic split over time: what each change set, oldest first, holds until the next one."""
    if not changes:
        return []
    begin = changes[0][0]
    length_s = max((until - begin).total_seconds(), 1e-3)
    bands = []
    for index, (at, split) in enumerate(changes):
        end = changes[index + 1][0] if index + 1 < len(changes) else until
        x = 600 * (at - begin).total_seconds() / length_s
        width, y = 600 * max((end - at).total_seconds(), 0.0) / length_s, 0.0
        for label, share in split.items():
            if share:
                bands.append(
                    Band(label, share, round(x, 2), y, round(width, 2), float(share), colours.get(label, 0))
                )
            y += share
    return bands
