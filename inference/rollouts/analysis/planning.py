"""How long a step must be: requests until harm can be ruled out, or is found, if the canary is as supposed."""

from __future__ import annotations

import math

from inference.rollouts.analysis.intervals import NORMAL
from inference.rollouts.analysis.sequential import Rate, half_width, two_proportions

MOST = 2**40


def requests_needed(
    *,
    rate: float,
    tolerance: float,
    alpha: float,
    increase: float = 0.0,
    effect: float | None = None,
    canary_share: float = 0.5,
) -> int | None:
    """The canary's requests after which the confidence sequence leaves `tolerance`, if the rates are as supposed.

    The stable version's rate is `rate`, the canary's higher by `increase`: below the tolerance that is when harm is
    ruled out, above it when harm is found. Half of all rollouts take about as long. `canary_share` is the canary's
    part of both arms' requests; `alpha` the level: the whole one for ruling harm out, `verdicts.level` for finding it.
    None when it is never: an increase equal to the tolerance. Raises ValueError for rates that are not between 0 and 1
    and shares that leave an arm nothing.
    """
    if not (0 <= rate <= 1 and 0 <= rate + increase <= 1 and 0 < canary_share < 1):
        raise ValueError("rates lie between 0 and 1, and each arm has a share")
    if increase == tolerance:
        return None
    low, high = 0, 1
    while not _decided(high, rate, increase, tolerance, effect or tolerance, alpha, canary_share):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        decided = _decided(middle, rate, increase, tolerance, effect or tolerance, alpha, canary_share)
        low, high = (low, middle) if decided else (middle, high)
    return high


def _decided(
    requests: int, rate: float, increase: float, tolerance: float, tau: float, alpha: float, share: float
) -> bool:
    others = max(1, round(requests * (1 - share) / share))
    stable = Rate(others, round(others * rate))
    canary = Rate(requests, round(requests * (rate + increase)))
    interval = two_proportions(stable, canary, tau=tau, alpha=alpha).interval
    if interval is None:
        return False
    return interval.high <= tolerance if increase < tolerance else interval.low > tolerance


def samples_needed(
    *, spread: tuple[float, float], effect: float, alpha: float, power: float, treatment_share: float = 0.5
) -> int:
    """The treatment's samples after which a difference of `effect` is shown with a chance of `power`.

    By the confidence sequence at `alpha` (of an experiment: α over the number of treatments) at that one moment; who
    looks before as well finds it sooner, so the true power is a little higher. `spread` are the variances of one
    sample of the control and of the treatment, `treatment_share` the treatment's part of both arms' samples. Raises
    ValueError for what is no effect, no level or no share.
    """
    if not (effect > 0 and 0 < alpha < 1 and 0 < power < 1 and 0 < treatment_share < 1 and min(spread) >= 0):
        raise ValueError("an effect is positive; levels, power and shares lie between 0 and 1")
    z = NORMAL.inv_cdf(power)
    ratio = (1 - treatment_share) / treatment_share

    def shown(samples: int) -> bool:
        variance = max(spread[1] / samples + spread[0] / (samples * ratio), 1e-300)
        return effect - z * math.sqrt(variance) >= half_width(variance, tau=effect, alpha=alpha)

    low, high = 0, 1
    while not shown(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
