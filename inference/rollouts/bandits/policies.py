"""How much traffic each arm gets next: Thompson sampling and UCB1 over state that can be stored.

A bandit never decides a request. It turns what is known of the arms into whole-percent weights, a process writes those
into the endpoint's split like any other change, and the hot route draws from the split as it always does. So the hot
route takes no lock and shares no state, every process that serves the endpoint agrees, and the propensity of a decision
is exactly the weight of its arm: what off-policy evaluation needs.

Only resolved outcomes count. A request without its reward yet is neither a success nor a failure: counting it as a
failure starves whichever arm was tried last. Thompson sampling keeps its guarantees with batches and delays
(Kalkanlı and Özgür, arXiv 2110.00158).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

import numpy as np

FLOOR_PERCENT = 2
SPREAD = 0.5
GRID_POINTS = 401
GRID_REACH = 9.0


class Policy(StrEnum):
    """How the shares are found."""

    THOMPSON = "thompson"
    UCB1 = "ucb1"


@dataclass(frozen=True, slots=True)
class ArmState:
    """What is known of one arm: resolved rewards between 0 and 1, summed as successes and the rest to 1 as failures."""

    successes: float = 0.0
    failures: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.successes) and math.isfinite(self.failures)):
            raise ValueError("successes and failures are finite numbers")
        if self.successes < 0 or self.failures < 0:
            raise ValueError("successes and failures are at least 0")

    @property
    def count(self) -> float:
        return self.successes + self.failures


@dataclass(frozen=True, slots=True)
class BanditState:
    """The arms by name, as of `at_s` (seconds of any one clock). Stored as JSON; never changed in place."""

    arms: Mapping[str, ArmState]
    at_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        arms = {name: [arm.successes, arm.failures] for name, arm in self.arms.items()}
        return {"arms": arms, "at_s": self.at_s}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The state as it was stored."""
        return cls({name: ArmState(*arm) for name, arm in stored["arms"].items()}, stored["at_s"])


def observe(
    state: BanditState,
    resolved: Mapping[str, tuple[float, int]],
    *,
    at_s: float,
    gamma_per_hour: float = 1.0,
) -> BanditState:
    """The state after new resolved outcomes: by arm the sum of their rewards and their number.

    What was known before fades by `gamma_per_hour` for each hour since `state.at_s` (0.99 halves it in 69 hours), so
    that an arm that changes is believed again. A clock that went backwards fades nothing. An unknown arm starts from
    nothing. Raises ValueError for rewards outside [0, count].
    """
    faded = discounted(state, at_s=at_s, gamma_per_hour=gamma_per_hour)
    arms = dict(faded.arms)
    for name, (total, count) in resolved.items():
        if not 0 <= total <= count:
            raise ValueError(f"{name}: {count} rewards between 0 and 1 cannot sum to {total}")
        arm = arms.get(name, ArmState())
        arms[name] = ArmState(arm.successes + total, arm.failures + count - total)
    return BanditState(arms, faded.at_s)


def discounted(state: BanditState, *, at_s: float, gamma_per_hour: float) -> BanditState:
    """The state at a later time, with every count multiplied by gamma to the power of the hours passed."""
    if not 0 < gamma_per_hour <= 1:
        raise ValueError("gamma lies above 0 and is at most 1")
    factor = gamma_per_hour ** (max(0.0, at_s - state.at_s) / 3600)
    arms = {name: ArmState(arm.successes * factor, arm.failures * factor) for name, arm in state.arms.items()}
    return BanditState(arms, max(at_s, state.at_s))


def allocation(
    state: BanditState,
    policy: Policy,
    *,
    floor: int = FLOOR_PERCENT,
    caps: Mapping[str, int] | None = None,
    holdout: float = 0.0,
    batch: int = 100,
    spread: float = SPREAD,
) -> dict[str, int]:
    """Whole percents by arm that sum to exactly 100.

    `floor` is what every arm gets at least, `caps` the most of some arms (a canary's step, 0 for one that a guardrail
    has stopped); where the two contradict each other the cap holds. `holdout` is the share (0.1 = 10 %) that is dealt
    evenly whatever the policy says; it raises the floor to `holdout_percent` (see `in_holdout`). `batch` is about how
    many requests come before the next allocation (UCB1 only), `spread` how widely Thompson sampling explores (see
    `best_probabilities`). Raises ValueError when caps leave less than 100, or floors ask for more.
    """
    if not state.arms:
        raise ValueError("a bandit needs an arm")
    names = list(state.arms)
    arms = list(state.arms.values())
    found = (
        best_probabilities(arms, spread=spread)
        if policy == Policy.THOMPSON
        else ucb_shares(arms, batch=batch)
    )
    least = max(floor, holdout_percent(holdout, arms=len(arms)))
    most = np.array([(caps or {}).get(name, 100) for name in names])
    if (most < 0).any() or (most > 100).any():
        raise ValueError("a cap lies between 0 and 100 percent")
    shares = whole_percents(100 * found, floors=np.minimum(least, most), caps=most)
    return dict(zip(names, shares, strict=True))


def best_probabilities(arms: list[ArmState], *, spread: float = 1.0) -> np.ndarray:
    """Thompson sampling's shares: for each arm the probability that its rate is the best, with uniform priors.

    ∫ fᵢ(x) Πⱼ≠ᵢ Fⱼ(x) dx of the Beta posteriors, by the trapezoid rule on a grid that is dense where they are.

    A `spread` below 1 multiplies the posteriors' variances by about that (posterior reshaping: Chapelle and Li, NIPS
    2011), so that less is explored. Floors and batches explore by themselves: with both, a spread of 0.5 gave the best
    arm a greater mean share than 1 in each of twelve simulated settings, at the price of a longer tail of unlucky runs
    where arms are almost equal.
    """
    if not 0 < spread <= 1:
        raise ValueError("a spread lies above 0 and is at most 1")
    if len(arms) == 1:
        return np.ones(1)
    a = np.array([arm.successes + 1 for arm in arms]) / spread
    b = np.array([arm.failures + 1 for arm in arms]) / spread
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1 - mean) / (a + b + 1))
    near = mean[:, None] + deviation[:, None] * np.linspace(-GRID_REACH, GRID_REACH, GRID_POINTS)
    grid = np.unique(np.concatenate([np.linspace(0, 1, GRID_POINTS), near.ravel()]).clip(1e-12, 1 - 1e-12))
    log_density = (a - 1)[:, None] * np.log(grid) + (b - 1)[:, None] * np.log1p(-grid)
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    steps = np.diff(grid)
    pieces = (density[:, 1:] + density[:, :-1]) / 2 * steps
    below = np.concatenate([np.zeros((len(arms), 1)), np.cumsum(pieces, axis=1)], axis=1)
    below /= below[:, -1:]
    others = np.stack([np.prod(np.delete(below, arm, axis=0), axis=0) for arm in range(len(arms))])
    weighed = density * others
    best = ((weighed[:, 1:] + weighed[:, :-1]) / 2 * steps).sum(axis=1) / pieces.sum(axis=1)
    return np.asarray(best / best.sum())


def ucb_shares(arms: list[ArmState], *, batch: int = 100) -> np.ndarray:
    """UCB1's shares of the next `batch` requests (Auer, Cesa-Bianchi and Fischer 2002).

    UCB1 pulls the arm of the greatest mean + √(2 ln N / n). No reward comes back within a batch, so its pulls are
    played ahead with the means as they are: each pull lowers its arm's index until the indices level out, and the share
    is how often each arm was pulled. Arms never tried come first.
    """
    if batch < 1:
        raise ValueError("a batch has at least one request")
    counts = np.array([arm.count for arm in arms])
    untried = counts < 1
    if untried.any():
        return np.asarray(untried / untried.sum())
    means = np.array([arm.successes for arm in arms]) / counts
    bonus = 2 * math.log(counts.sum() + batch)
    # All that are pulled end at one index: the level at which the pulls that lead there sum to the batch.
    low, high = float(means.max()), float((means + np.sqrt(bonus / counts)).max())
    for _ in range(60):
        level = (low + high) / 2
        pulls = np.maximum(0.0, bonus / (level - means) ** 2 - counts)
        low, high = (level, high) if pulls.sum() > batch else (low, level)
    pulls = np.maximum(0.0, bonus / (high - means) ** 2 - counts)
    return (
        np.asarray(pulls / pulls.sum())
        if pulls.sum() > 0
        else np.asarray((means == low) / (means == low).sum())
    )


def whole_percents(shares: np.ndarray, *, floors: np.ndarray, caps: np.ndarray) -> list[int]:
    """Whole percents nearest to `shares` within floors and caps, summing to exactly 100.

    What floors and caps leave is divided in proportion to the shares; then the largest remainders are rounded up.
    Raises ValueError when no such percents exist.
    """
    if floors.sum() > 100 or caps.sum() < 100 or (floors > caps).any():
        raise ValueError(
            f"floors that sum to {floors.sum()} and caps that sum to {caps.sum()} leave no whole split"
        )
    wanted = np.maximum(shares, 1e-9)
    low, high = 0.0, 1.0
    while np.clip(wanted * high, floors, caps).sum() < 100:
        low, high = high, 2 * high
    for _ in range(50):
        scale = (low + high) / 2
        low, high = (scale, high) if np.clip(wanted * scale, floors, caps).sum() < 100 else (low, scale)
    exact = np.clip(wanted * high, floors, caps)
    percents = np.floor(exact + 1e-9).astype(int)
    by_remainder = np.argsort(percents - exact, kind="stable")
    while (missing := 100 - percents.sum()) > 0:
        for arm in by_remainder:
            if missing and percents[arm] < caps[arm]:
                percents[arm] += 1
                missing -= 1
    return [int(percent) for percent in percents]


def holdout_percent(holdout: float, *, arms: int) -> int:
    """The whole percent of all traffic that each arm gets from a uniform holdout of this share."""
    if not 0 <= holdout <= 1:
        raise ValueError("a holdout is a share between 0 and 1")
    return min(math.ceil(round(100 * holdout / arms, 9)), 100 // arms)


def in_holdout(decision_id: str, *, propensity: float, each: int) -> bool:
    """Whether a logged decision belongs to the uniform holdout: `each` percent of all traffic for every arm.

    Each request of an arm with share `propensity` is kept with the chance each / share, by its id, so the kept requests
    are spread over the arms evenly and independently of the policy: the fixed-allocation tests hold for them. The hot
    route need not know of it. Raises ValueError for a propensity that the holdout does not fit in.
    """
    share = each / 100
    if not 0 < propensity <= 1 or share > propensity + 1e-9:
        raise ValueError(f"a holdout of {each} % does not fit in a propensity of {propensity}")
    drawn = int.from_bytes(blake2b(decision_id.encode(), digest_size=8, person=b"holdout").digest(), "big")
    return drawn < share / propensity * 2**64
