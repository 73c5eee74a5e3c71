"""Comparing the latencies of two arms.

Always-valid: the share of answers slower than a threshold that was fixed before (a quantile of the stable version's
latency), as a rate. Fixed-horizon: Mann-Whitney, Hodges-Lehmann and the interval of a quantile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inference.rollouts.analysis.evidence import Check, Method, Outcome
from inference.rollouts.analysis.intervals import Interval, two_sided_z
from inference.rollouts.analysis.sequential import Comparison, Rate, two_proportions

BISECTIONS = 200


@dataclass(frozen=True, slots=True)
class MannWhitney:
    """`u` counts the pairs in which the canary is slower (ties half); `slower` is that share of all pairs."""

    u: float
    slower: float
    p_value: float


def exceedances(values: np.ndarray, threshold: float) -> Rate:
    """How many of the values are greater than the threshold."""
    return Rate(len(values), int(np.count_nonzero(values > threshold)))


def quantile_comparison(
    stable: Rate, canary: Rate, *, alpha: float, effect: float, tolerance: float = 0.0
) -> Comparison:
    """Whether the canary exceeds a fixed threshold more often, by more than `tolerance`; may be looked at continuously.

    With the stable version's p99 as threshold and a tolerance of 0.01 this asks: is the canary's p98 still below it?
    `effect` is the scale τ of the differences that matter. Testing a quantile by the rate of its exceedances makes no
    assumption about the shape of the latencies; the threshold's own error drops out, for both arms are held against it.
    """
    return two_proportions(stable, canary, tau=effect, alpha=alpha, null=tolerance)


def mann_whitney(stable: np.ndarray, canary: np.ndarray) -> MannWhitney | None:
    """FIXED-HORIZON Mann-Whitney test, two-sided, with corrections for ties and continuity. None for an empty arm.

    By the normal approximation: for at least eight values in each arm. Equal values alone: p = 1.
    """
    n, m = len(stable), len(canary)
    if not n or not m:
        return None
    ordered = np.sort(stable)
    below = np.searchsorted(ordered, canary, side="left")
    up_to = np.searchsorted(ordered, canary, side="right")
    u = float(np.sum(below + up_to)) / 2
    _, ties = np.unique(np.concatenate([stable, canary]), return_counts=True)
    total = n + m
    tied = float(np.sum(ties.astype(float) ** 3 - ties)) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    distance = max(0.0, abs(u - n * m / 2) - 0.5)
    p_value = math.erfc(distance / math.sqrt(2 * variance)) if variance > 0 else 1.0
    return MannWhitney(u, u / (n * m), p_value)


def hodges_lehmann(
    stable: np.ndarray, canary: np.ndarray, *, confidence: float = 0.95
) -> tuple[float, Interval] | None:
    """FIXED-HORIZON shift canary − stable: the median of all pairwise differences, with Mann-Whitney's interval.

    None for an empty arm. The differences are never laid out: an order statistic of them is found by bisection, in
    O((n + m) log(n + m)) a step.
    """
    n, m = len(stable), len(canary)
    if not n or not m:
        return None
    x, y = np.sort(stable.astype(float)), np.sort(canary.astype(float))
    pairs = n * m
    shift = (_difference(x, y, (pairs + 1) // 2) + _difference(x, y, pairs // 2 + 1)) / 2
    reach = two_sided_z(confidence) * math.sqrt(pairs * (n + m + 1) / 12)
    rank = max(1, math.floor(pairs / 2 - reach))
    return shift, Interval(_difference(x, y, rank), _difference(x, y, pairs + 1 - rank))


def shift_check(
    name: str,
    stable: np.ndarray,
    canary: np.ndarray,
    *,
    alpha: float,
    tolerance: float = 0.0,
    min_samples: int = 50,
    required: bool = True,
) -> Check:
    """FIXED-HORIZON: the shift as a check of a judgement, to be made once, at the end of a step.

    Harm when the whole Hodges-Lehmann interval at level 1 − `alpha` lies above `tolerance` (in the values' unit).
    """
    tested, shift = mann_whitney(stable, canary), hodges_lehmann(stable, canary, confidence=1 - alpha)
    interval = shift[1] if shift else None
    if interval is None or min(len(stable), len(canary)) < min_samples:
        outcome = Outcome.TOO_FEW
    elif interval.low > tolerance:
        outcome = Outcome.HARM
    else:
        outcome = Outcome.NO_HARM if interval.high <= tolerance else Outcome.UNDECIDED
    return Check(
        name=name,
        kind="shift",
        direction="increase",
        tolerance=tolerance,
        stable=float(np.median(stable)) if len(stable) else None,
        canary=float(np.median(canary)) if len(canary) else None,
        stable_samples=len(stable),
        canary_samples=len(canary),
        min_samples=min_samples,
        interval=interval,
        p_value=tested.p_value if tested else None,
        alpha=alpha,
        method=Method.FIXED_HORIZON,
        outcome=outcome,
        required=required,
        confidence=1 - alpha,
    )


def quantile_interval(
    values: np.ndarray, quantile: float, *, confidence: float = 0.95
) -> tuple[float | None, float | None]:
    """FIXED-HORIZON interval of a quantile between two order statistics; its coverage is exact or greater.

    Distribution-free (David and Nagaraja, Order Statistics, 7.1). An end that the sample is too small for is None: the
    95 % interval of a p99 has an upper end from 368 values on.
    """
    if not 0 < quantile < 1:
        raise ValueError("a quantile lies between 0 and 1")
    two_sided_z(confidence)
    n = len(values)
    if n == 0:
        return None, None
    ordered, tail = np.sort(values), (1 - confidence) / 2
    reached = _binomial_cdf(n, quantile)
    # P(at most k − 1 values lie below the quantile): X(k) is an upper bound when that is at least 1 − tail.
    low = int(np.searchsorted(reached, tail, side="right"))
    high = int(np.searchsorted(reached, 1 - tail, side="left"))
    return (
        float(ordered[low - 1]) if low >= 1 else None,
        float(ordered[high]) if high < n else None,
    )


def _binomial_cdf(n: int, p: float) -> np.ndarray:
    """P(B ≤ k) for k = 0 … n."""
    k = np.arange(n)
    steps = np.log(n - k) - np.log(k + 1) + math.log(p) - math.log1p(-p)
    log_pmf = n * math.log1p(-p) + np.concatenate([[0.0], np.cumsum(steps)])
    return np.minimum(np.cumsum(np.exp(log_pmf)), 1.0)


def _difference(x: np.ndarray, y: np.ndarray, rank: int) -> float:
    """The `rank`-th smallest of all y − x, for sorted x and y."""
    low, high = float(y[0] - x[-1]), float(y[-1] - x[0])
    for _ in range(BISECTIONS):
        if int(np.sum(np.searchsorted(y, x + low, side="right"))) >= rank:
            return low
        middle = low + (high - low) / 2
        if middle in (low, high):
            break
        reached = int(np.sum(np.searchsorted(y, x + middle, side="right"))) >= rank
        low, high = (low, middle) if reached else (middle, high)
    return high
