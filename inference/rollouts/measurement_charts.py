"""The charts of an endpoint's measurements, as coordinates for SVG; no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from inference.rollouts.measurements import BOUNDS_MS, Histogram, Share

WIDTH, HEIGHT = 600, 120
STEPS = 120


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram in a box of 600 by 120, and what it says."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    label: str


@dataclass(frozen=True, slots=True)
class Point:
    """A mean with its interval in the same box."""

    x: float
    y: float
    top: float
    bottom: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """One version's line; its points carry the intervals."""

    version: str
    colour: int
    points: str
    dots: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Density:
    """How probable each success rate of a version is, after what was seen; `mean` and the 95 % range in words."""

    version: str
    colour: int
    points: str


def bar_names() -> list[str]:
    """What each bar of a histogram holds."""
    bounds = [f"{bound:g}" for bound in BOUNDS_MS]
    return [f"≤ {bound} ms" for bound in bounds] + [f"> {bounds[-1]} ms"]


def histogram_bars(found: Sequence[Histogram], names: Mapping[UUID, str]) -> list[Bar]:
    """Bars side by side by version, as shares of each version's answers, so that a small canary is seen."""
    if not found:
        return []
    highest = max(max(one.counts) / one.total for one in found)
    slot = WIDTH / (len(BOUNDS_MS) + 1)
    width = 0.8 * slot / len(found)
    bars = []
    for index, one in enumerate(found):
        for bar, (count, name) in enumerate(zip(one.counts, bar_names(), strict=True)):
            if not count:
                continue
            share = count / one.total
            height = (HEIGHT - 4) * share / highest
            label = f"{names.get(one.version_id, '')} {name}: {count} ({100 * share:.1f} %)"
            x = bar * slot + 0.1 * slot + index * width
            bars.append(
                Bar(
                    round(x, 1),
                    round(HEIGHT - height, 1),
                    round(width, 1),
                    round(height, 1),
                    index % 4,
                    label,
                )
            )
    return bars


def accuracy_series(shares: Iterable[Share], names: Mapping[UUID, str], days: Sequence[str]) -> list[Series]:
    """Accuracy by day from 0 at the bottom to 1 at the top, each version a line with its intervals."""
    places = {day: index for index, day in enumerate(days)}
    step = WIDTH / max(1, len(days) - 1)
    by_version: dict[UUID, list[Point]] = {}
    for share in shares:
        if share.part not in places or share.accuracy.value is None or share.accuracy.interval is None:
            continue
        interval = share.accuracy.interval
        label = (
            f"{names.get(share.version_id, '')} {share.part}: {share.accuracy.value:.3f} "
            f"({interval.low:.3f} – {interval.high:.3f}, n = {share.labelled})"
        )
        point = Point(
            round(places[share.part] * step, 1),
            _height(share.accuracy.value),
            _height(interval.high),
            _height(interval.low),
            label,
        )
        by_version.setdefault(share.version_id, []).append(point)
    return [
        Series(
            names.get(version, str(version)),
            index % 4,
            " ".join(f"{point.x},{point.y}" for point in points),
            tuple(points),
        )
        for index, (version, points) in enumerate(sorted(by_version.items()))
    ]


def posteriors(arms: Mapping[str, Mapping[str, float]]) -> list[Density]:
    """The density of each arm's success rate from 0 at the left to 1 at the right: Beta(1 + successes, 1 + failures).

    A uniform prior; the curves share one scale, so that who is known better stands higher.
    """
    curves = {
        name: [
            _beta((step + 0.5) / STEPS, 1 + arm["successes"], 1 + arm["failures"]) for step in range(STEPS)
        ]
        for name, arm in arms.items()
    }
    highest = max((max(curve) for curve in curves.values()), default=1.0)
    return [
        Density(
            name,
            index % 4,
            " ".join(
                f"{(step + 0.5) / STEPS * WIDTH:.1f},{HEIGHT - (HEIGHT - 4) * value / highest:.1f}"
                for step, value in enumerate(curve)
            ),
        )
        for index, (name, curve) in enumerate(curves.items())
    ]


def _height(value: float) -> float:
    return round(HEIGHT - 2 - (HEIGHT - 4) * value, 1)


def _beta(x: float, a: float, b: float) -> float:
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(scale + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x))
