"""Tests of two arms that stay valid however often one looks, and one that does not, marked as such.

Let θ be canary − stable, θ̂ its estimate and s² the estimate's variance (σx²/nx + σy²/ny, so arms may be of unequal
size: n equal observations per arm are the special case s² = V/n). The mixture sequential probability ratio test of
Johari, Pekelis and Walsh (arXiv 1512.04922) weighs the likelihood ratio with N(θ₀, τ²):

    Λ = √(s² / (s² + τ²)) · exp(τ² (θ̂ − θ₀)² / (2 s² (s² + τ²)))

The chance that Λ ever reaches 1/α under θ = θ₀ is at most α, over all looks together. 1/Λ, and its least value so far,
are always-valid p-values; the θ₀ with Λ < 1/α are a confidence sequence. It holds for allocations that do not depend on
the outcomes (never for bandit-allocated data; use their uniform holdout) and rests on the normal approximation, so that
a minimum of samples belongs before it. `exact_evidence` needs neither and serves below that minimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from inference.rollouts.analysis.intervals import NORMAL, Interval, check_counts, newcombe


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `count`."""

    count: int
    hits: int

    def __post_init__(self) -> None:
        check_counts(self.hits, self.count)

    @property
    def value(self) -> float | None:
        return self.hits / self.count if self.count else None

    @property
    def variance(self) -> float:
        """Of one observation, with half a hit and half a miss added, so that 0 of 10 is not taken for certainty."""
        rate = (self.hits + 0.5) / (self.count + 1)
        return rate * (1 - rate)


@dataclass(frozen=True, slots=True)
class Sums:
    """Count, sum and sum of squares of a continuous metric: all that its mean and variance need."""

    count: int
    total: float
    squares: float

    def __post_init__(self) -> None:
        if self.count < 0 or not (math.isfinite(self.total) and math.isfinite(self.squares)):
            raise ValueError("sums are of a count of at least 0 and finite")
        if self.squares < 0 or (self.count == 0 and (self.total or self.squares)):
            raise ValueError("these sums are of no sample")

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None

    def variance(self, tau: float) -> float:
        """Of one observation, with one more squared deviation of τ², so that equal values are no certainty."""
        spread = max(0.0, self.squares - self.total * self.total / self.count)
        return (spread + tau * tau) / self.count


@dataclass(frozen=True, slots=True)
class Comparison:
    """Canary against stable. `p_value` is for θ = `null`; `interval` (None without data) is of θ at level 1 − α."""

    difference: float | None
    interval: Interval | None
    p_value: float
    likelihood_ratio: float
    alpha: float
    always_valid: bool

    @property
    def decided(self) -> bool:
        """Whether θ = null is rejected."""
        return self.p_value <= self.alpha


def two_proportions(stable: Rate, canary: Rate, *, tau: float, alpha: float, null: float = 0.0) -> Comparison:
    """mSPRT of two rates. Always-valid. An empty arm: no evidence, interval None.

    The variance is the larger of that observed and that under the hypothesis tested: with the observed one alone, a
    rare error that has not happened yet would count as one that cannot (simulated at α = 0.05, stable rate 0.2 %, 5 %
    of the traffic: a canary one point worse is taken for harmless in 14 % of the runs; with the larger one in none).
    """
    if not stable.count or not canary.count:
        return _nothing(alpha)
    _check_levels(tau, alpha)
    difference = canary.hits / canary.count - stable.hits / stable.count
    log_ratio = log_likelihood_ratio(difference, _variance_under(stable, canary, null), tau=tau, null=null)
    interval = Interval(
        _rate_bound(stable, canary, difference, side=-1, tau=tau, alpha=alpha),
        _rate_bound(stable, canary, difference, side=1, tau=tau, alpha=alpha),
    )
    return _sequential(difference, interval, log_ratio, alpha)


def two_means(stable: Sums, canary: Sums, *, tau: float, alpha: float, null: float = 0.0) -> Comparison:
    """mSPRT of two means with the variances plugged in. Always-valid. Fewer than two values in an arm: no evidence."""
    if stable.count < 2 or canary.count < 2:
        return _nothing(alpha)
    _check_levels(tau, alpha)
    variance = stable.variance(tau) / stable.count + canary.variance(tau) / canary.count
    difference = canary.total / canary.count - stable.total / stable.count
    log_ratio = log_likelihood_ratio(difference, variance, tau=tau, null=null)
    reach = half_width(variance, tau=tau, alpha=alpha)
    return _sequential(difference, Interval(difference - reach, difference + reach), log_ratio, alpha)


def log_likelihood_ratio(difference: float, variance: float, *, tau: float, null: float = 0.0) -> float:
    """ln Λ of an estimate `difference` whose variance is `variance`."""
    mixed = variance + tau * tau
    distance = tau * (difference - null)
    return 0.5 * math.log(variance / mixed) + distance * distance / (2 * variance * mixed)


def half_width(variance: float, *, tau: float, alpha: float) -> float:
    """How far from the estimate the confidence sequence reaches: where Λ is exactly 1/α."""
    mixed = variance + tau * tau
    reach = 2 * math.log(1 / alpha) + math.log(mixed / variance)
    return math.sqrt(variance * mixed * reach) / tau


def always_valid_p(log_ratio: float, earlier: float = 1.0) -> float:
    """The running least of 1/Λ: pass what the look before returned as `earlier`."""
    return min(earlier, math.exp(-max(0.0, log_ratio)))


def exact_evidence(stable: Rate, canary: Rate, *, tolerance: float) -> float:
    """ln of an e-process against “the canary's rate exceeds stable's by at most `tolerance`”; no approximation in it.

    Each arm's likelihood mixed with Jeffreys' prior, over the greatest likelihood that the hypothesis allows (universal
    inference: Wasserman, Ramdas and Balakrishnan 2020). The chance that it ever reaches ln(1/α) is at most α at every
    sample size, rate and allocation, adaptive ones too. It needs more samples than the mSPRT for small differences.
    """
    if not 0 <= tolerance < 1:
        raise ValueError("a tolerance of rates is at least 0 and below 1")
    mixture = _log_jeffreys(stable) + _log_jeffreys(canary)
    return mixture - _greatest_log_likelihood(stable, canary, tolerance)


def z_test(stable: Rate, canary: Rate, *, alpha: float, null: float = 0.0) -> Comparison:
    """FIXED-HORIZON two-proportion z-test: valid for one look at a sample size chosen beforehand, never for peeking.

    The variance is pooled when `null` is 0 (the textbook test), unpooled otherwise; the interval is Newcombe's. With
    no variance at all there is no evidence: p = 1.
    """
    if not stable.count or not canary.count:
        return _nothing(alpha, always_valid=False)
    x, y = stable.hits / stable.count, canary.hits / canary.count
    if null:
        variance = x * (1 - x) / stable.count + y * (1 - y) / canary.count
    else:
        pooled = (stable.hits + canary.hits) / (stable.count + canary.count)
        variance = pooled * (1 - pooled) * (1 / stable.count + 1 / canary.count)
    interval = newcombe(stable.hits, stable.count, canary.hits, canary.count, confidence=1 - alpha)
    return _fixed(y - x, variance, interval, alpha=alpha, null=null)


def welch_z_test(stable: Sums, canary: Sums, *, alpha: float, null: float = 0.0) -> Comparison:
    """FIXED-HORIZON comparison of two means with unequal variances by the normal approximation; one look only."""
    if stable.count < 2 or canary.count < 2:
        return _nothing(alpha, always_valid=False)
    variance = sum(
        max(0.0, arm.squares - arm.total * arm.total / arm.count) / (arm.count - 1) / arm.count
        for arm in (stable, canary)
    )
    difference = canary.total / canary.count - stable.total / stable.count
    reach = NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(variance)
    interval = Interval(difference - reach, difference + reach)
    return _fixed(difference, variance, interval, alpha=alpha, null=null)


def _check_levels(tau: float, alpha: float) -> None:
    if tau <= 0 or not 0 < alpha < 1:
        raise ValueError("tau must be positive and alpha between 0 and 1")


def _sequential(difference: float, interval: Interval, log_ratio: float, alpha: float) -> Comparison:
    ratio = math.exp(min(log_ratio, 700.0))
    return Comparison(difference, interval, always_valid_p(log_ratio), ratio, alpha, always_valid=True)


def _variance_under(stable: Rate, canary: Rate, null: float) -> float:
    """Of the difference: the larger of the observed one and that of the rates which fit best `null` apart."""
    observed = stable.variance / stable.count + canary.variance / canary.count
    pooled = (stable.hits + canary.hits - canary.count * null) / (stable.count + canary.count)
    before = min(max(pooled, 0.0, -null), 1.0, 1.0 - null)
    after = before + null
    supposed = before * (1 - before) / stable.count + after * (1 - after) / canary.count
    return max(observed, supposed)


def _rate_bound(
    stable: Rate, canary: Rate, difference: float, *, side: int, tau: float, alpha: float
) -> float:
    """The lower (side −1) or upper (1) end of the confidence sequence, whose variance depends on the end itself.

    Found by bisection, narrowed at first to where the variance at the estimate would have it.
    """
    needed = math.log(1 / alpha)

    def rejected(null: float) -> bool:
        variance = _variance_under(stable, canary, null)
        return log_likelihood_ratio(difference, variance, tau=tau, null=null) >= needed

    within, beyond = difference, float(side)
    if not rejected(beyond):
        return beyond
    reach = half_width(_variance_under(stable, canary, difference), tau=tau, alpha=alpha)
    for factor in (1.0, 1.1, 1.5, 3.0):
        near = difference + side * factor * reach
        if abs(near) >= 1 or not rejected(near):
            within = near if abs(near) < 1 else within
        else:
            beyond = near
            break
    while abs(beyond - within) > 1e-7:
        middle = (within + beyond) / 2
        within, beyond = (within, middle) if rejected(middle) else (middle, beyond)
    return beyond


def _fixed(
    difference: float, variance: float, interval: Interval, *, alpha: float, null: float
) -> Comparison:
    p_value = math.erfc(abs(difference - null) / math.sqrt(2 * variance)) if variance > 0 else 1.0
    return Comparison(difference, interval, p_value, 1.0, alpha, always_valid=False)


def _nothing(alpha: float, *, always_valid: bool = True) -> Comparison:
    return Comparison(None, None, 1.0, 1.0, alpha, always_valid)


def _log_jeffreys(rate: Rate) -> float:
    """ln of the likelihood of the sequence, mixed over its rate with Beta(½, ½)."""
    hits, misses = rate.hits + 0.5, rate.count - rate.hits + 0.5
    return math.lgamma(hits) + math.lgamma(misses) - math.lgamma(rate.count + 1) - math.log(math.pi)


def _greatest_log_likelihood(stable: Rate, canary: Rate, tolerance: float) -> float:
    """Over all pairs of rates with canary − stable ≤ tolerance. Concave along the boundary: bisection finds it."""
    x, y = stable.value or 0.0, canary.value or 0.0
    if not stable.count or not canary.count or y - x <= tolerance:
        return _log_likelihood(stable, x) + _log_likelihood(canary, y)
    low, high = 0.0, 1.0 - tolerance
    for _ in range(60):
        middle = (low + high) / 2
        rising = _slope(stable, middle) + _slope(canary, middle + tolerance) > 0
        low, high = (middle, high) if rising else (low, middle)
    best = (low + high) / 2
    return _log_likelihood(stable, best) + _log_likelihood(canary, best + tolerance)


def _log_likelihood(rate: Rate, at: float) -> float:
    total = rate.hits * math.log(at) if rate.hits else 0.0
    return total + ((rate.count - rate.hits) * math.log1p(-at) if rate.count > rate.hits else 0.0)


def _slope(rate: Rate, at: float) -> float:
    rising = rate.hits / at if rate.hits else 0.0
    return rising - ((rate.count - rate.hits) / (1 - at) if rate.count > rate.hits else 0.0)
