"""Confidence intervals for one look: rates, differences of rates, means, and anything by the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()
LARGE_DF = 200


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval. As JSON it is `[low, high]`."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        return self.high - self.low

    def clipped(self, low: float, high: float) -> Interval:
        """The interval within the values that the quantity can take."""
        return Interval(min(max(self.low, low), high), max(min(self.high, high), low))


def wilson(hits: int, count: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate (JASA 22, 1927). Nothing observed: [0, 1]."""
    check_counts(hits, count)
    if count == 0:
        return Interval(0.0, 1.0)
    z = two_sided_z(confidence)
    rate, z2n = hits / count, z * z / count
    centre = (rate + z2n / 2) / (1 + z2n)
    half = z * math.sqrt(rate * (1 - rate) / count + z2n / (4 * count)) / (1 + z2n)
    # At no hits and at hits alone the bound is exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == count else min(1.0, centre + half)
    return Interval(low, high)


def newcombe(
    stable_hits: int, stable_count: int, canary_hits: int, canary_count: int, *, confidence: float = 0.95
) -> Interval:
    """Newcombe's hybrid score interval of the difference canary − stable (Statist. Med. 17, 1998, method 10)."""
    stable = wilson(stable_hits, stable_count, confidence=confidence)
    canary = wilson(canary_hits, canary_count, confidence=confidence)
    if not stable_count or not canary_count:
        return Interval(-1.0, 1.0)
    x, y = stable_hits / stable_count, canary_hits / canary_count
    return Interval(
        y - x - math.hypot(y - canary.low, stable.high - x),
        y - x + math.hypot(canary.high - y, x - stable.low),
    ).clipped(-1.0, 1.0)


def mean_interval(values: np.ndarray, *, confidence: float = 0.95) -> Interval | None:
    """Student's interval of a mean. Fewer than two values say nothing about their spread: None."""
    count = len(values)
    if count < 2:
        return None
    mean = float(np.mean(values))
    half = student_t(confidence, count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Interval(mean - half, mean + half)


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    values: np.ndarray,
    *,
    seed: int,
    draws: int = 1000,
    confidence: float = 0.95,
) -> Interval | None:
    """The percentile bootstrap (Efron 1979) of `statistic` over the rows of `values`; the same for the same `seed`.

    None without rows. Costs `draws` calls of `statistic`.
    """
    count = len(values)
    if count == 0:
        return None
    random = np.random.default_rng(seed)
    drawn = [statistic(values[random.integers(0, count, count)]) for _ in range(draws)]
    return percentiles(np.asarray(drawn), confidence=confidence)


def percentiles(drawn: np.ndarray, *, confidence: float) -> Interval:
    """The middle `confidence` of what a bootstrap has drawn."""
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def two_sided_z(confidence: float) -> float:
    """The standard normal's quantile that `confidence` lies within."""
    if not 0 < confidence < 1:
        raise ValueError("a confidence lies between 0 and 1")
    return NORMAL.inv_cdf((1 + confidence) / 2)


@lru_cache(maxsize=512)
def student_t(confidence: float, df: int) -> float:
    """The two-sided quantile of Student's t. Exact up to 200 degrees of freedom, by a series beyond (error < 1e-7).

    Abramowitz and Stegun 26.7.3, 26.7.4 and 26.7.5.
    """
    if df < 1:
        raise ValueError("Student's t needs a degree of freedom")
    z = two_sided_z(confidence)
    if df > LARGE_DF:
        terms = (
            (z**3 + z) / 4,
            (5 * z**5 + 16 * z**3 + 3 * z) / 96,
            (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        )
        return z + sum(term / df**power for power, term in enumerate(terms, start=1))
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, df) < confidence else (low, middle)
    return math.sqrt(df) * math.tan((low + high) / 2)


def _student_within(angle: float, df: int) -> float:
    """P(|t| ≤ √df·tan(angle)): a finite series for whole degrees of freedom."""
    sine, cosine = math.sin(angle), math.cos(angle)
    if df == 1:
        return 2 * angle / math.pi
    odd = df % 2
    term = cosine if odd else 1.0
    total = term
    for k in range(2 + odd, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def check_counts(hits: int, count: int) -> None:
    """Raise ValueError unless `hits` of `count` is possible."""
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} of {count} is not possible")
