"""Trying a policy before it gets traffic: against arms whose true rates are set, or on recorded traffic.

Time is counted in pulls (requests). A reward comes back `delay` pulls after its request, and the shares are found anew
every `batch` pulls from what has come back, as the product does it. Reproducible by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference.rollouts.analysis.intervals import Interval, mean_interval
from inference.rollouts.bandits.offpolicy import Log, PolicyValue, snips
from inference.rollouts.bandits.policies import (
    FLOOR_PERCENT,
    SPREAD,
    ArmState,
    BanditState,
    Policy,
    allocation,
    discounted,
)


@dataclass(frozen=True, slots=True)
class TrueArm:
    """An arm's true rate: one number, or (share of the run, rate) points between which it drifts in a straight line."""

    name: str
    rate: float | Sequence[tuple[float, float]]

    def rates(self, pulls: int) -> np.ndarray:
        """The rate at each pull, shape (pulls,)."""
        if isinstance(self.rate, (int, float)):
            return np.full(pulls, float(self.rate))
        at, values = zip(*self.rate, strict=True)
        return np.interp(np.arange(pulls) / pulls, at, values)


@dataclass(frozen=True, slots=True)
class Setting:
    """How the policy is run. `gamma_per_batch` discounts what is known at every update.

    `pending_as_failure` is the common mistake, kept as a control: a request whose reward is still to come counts as a
    failure until then.
    """

    policy: Policy = Policy.THOMPSON
    batch: int = 50
    delay: int = 0
    floor: int = FLOOR_PERCENT
    holdout: float = 0.0
    caps: Mapping[str, int] = field(default_factory=dict)
    gamma_per_batch: float = 1.0
    spread: float = SPREAD
    pending_as_failure: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """What happened. `shares` (updates, arms) in percent, `at` (updates,) the pull of each update.

    `regret` (pulls,) is summed over the pulls so far: the best arm's true rate less the true rate of the arm pulled.
    """

    arms: tuple[str, ...]
    at: np.ndarray
    shares: np.ndarray
    regret: np.ndarray
    best_share: float
    state: BanditState


@dataclass(frozen=True, slots=True)
class Replay:
    """A policy tried on recorded traffic.

    `accepted` of `offered` decisions are such as it would have made itself; `rate` is their mean reward. `estimate`
    uses the whole log instead, for the shares that the policy ended with. `shares` are in percent by arm, after each
    batch.
    """

    offered: int
    accepted: int
    rate: float | None
    interval: Interval | None
    estimate: PolicyValue
    shares: tuple[dict[str, int], ...]


def simulate(arms: Sequence[TrueArm], setting: Setting, *, pulls: int, seed: int) -> Run:
    """One run of `pulls` requests. Raises ValueError without arms, or for settings that are not possible."""
    _check(setting)
    if not arms or pulls < 1:
        raise ValueError("a simulation needs an arm and a pull")
    random = np.random.default_rng(seed)
    names = tuple(arm.name for arm in arms)
    rates = np.stack([arm.rates(pulls) for arm in arms], axis=1)
    chosen = np.empty(pulls, dtype=np.int64)
    rewards = np.empty(pulls, dtype=bool)
    starts = list(range(0, pulls, setting.batch))
    shares = np.empty((len(starts), len(names)), dtype=np.int64)
    known = BanditState({name: ArmState() for name in names})
    resolved = 0
    for update, start in enumerate(starts):
        back = max(resolved, start - setting.delay)
        known = _learn(known, chosen[resolved:back], rewards[resolved:back], names, setting.gamma_per_batch)
        resolved = back
        believed = _with_pending(known, chosen[resolved:start]) if setting.pending_as_failure else known
        found = _allocate(believed, setting)
        shares[update] = [found[name] for name in names]
        end = min(start + setting.batch, pulls)
        chosen[start:end] = random.choice(len(names), size=end - start, p=shares[update] / 100)
        rewards[start:end] = random.random(end - start) < rates[np.arange(start, end), chosen[start:end]]
    pulled = rates[np.arange(pulls), chosen]
    best = rates.max(axis=1)
    return Run(
        arms=names,
        at=np.array(starts),
        shares=shares,
        regret=np.cumsum(best - pulled),
        best_share=float(np.mean(pulled == best)),
        state=known,
    )


def replay(log: Log, setting: Setting, *, seed: int) -> Replay:
    """Run a policy on a log by rejection sampling (Li, Chu, Langford and Wang, WSDM 2011).

    A decision whose arm has share s under the policy and had propensity p is accepted with the chance s · least / p,
    where least is the smallest propensity of the log: what is accepted is distributed as if the policy had routed it.
    Rewards count without delay. Raises ValueError for rewards outside [0, 1], which no arm's state can hold.
    """
    _check(setting)
    if log.rewards.min() < 0 or log.rewards.max() > 1:
        raise ValueError("a policy learns from rewards between 0 and 1")
    random = np.random.default_rng(seed)
    names = tuple(sorted(set(log.arms)))
    at = {name: index for index, name in enumerate(names)}
    arms = np.array([at[arm] for arm in log.arms])
    least = float(log.propensities.min())
    drawn = random.random(len(arms))
    known = BanditState({name: ArmState() for name in names})
    found = _allocate(known, setting)
    history = [found]
    share = np.array([found[name] for name in names]) / 100
    waiting: list[int] = []
    accepted: list[int] = []
    for index, arm in enumerate(arms):
        if drawn[index] >= share[arm] * least / log.propensities[index]:
            continue
        accepted.append(index)
        waiting.append(index)
        if len(waiting) == setting.batch:
            known = _learn(known, arms[waiting], log.rewards[waiting], names, setting.gamma_per_batch)
            found = _allocate(known, setting)
            history.append(found)
            share = np.array([found[name] for name in names]) / 100
            waiting = []
    return Replay(
        offered=len(arms),
        accepted=len(accepted),
        rate=float(log.rewards[accepted].mean()) if accepted else None,
        interval=mean_interval(log.rewards[accepted]),
        estimate=snips(log, {name: percent / 100 for name, percent in found.items()}),
        shares=tuple(history),
    )


def _check(setting: Setting) -> None:
    if setting.batch < 1 or setting.delay < 0:
        raise ValueError("a batch has at least one pull, and a delay is not negative")


def _allocate(state: BanditState, setting: Setting) -> dict[str, int]:
    return allocation(
        state,
        setting.policy,
        floor=setting.floor,
        caps=setting.caps,
        holdout=setting.holdout,
        batch=setting.batch,
        spread=setting.spread,
    )


def _learn(
    state: BanditState, arms: np.ndarray, rewards: np.ndarray, names: Sequence[str], gamma: float
) -> BanditState:
    """The state after these pulls; one update is one hour of the state's clock."""
    faded = discounted(state, at_s=state.at_s + 3600, gamma_per_hour=gamma)
    counts = np.bincount(arms, minlength=len(names))
    sums = np.bincount(arms, weights=rewards, minlength=len(names))
    learned = {
        name: ArmState(
            faded.arms[name].successes + float(sums[index]),
            faded.arms[name].failures + float(counts[index] - sums[index]),
        )
        for index, name in enumerate(names)
    }
    return BanditState(learned, faded.at_s)


def _with_pending(state: BanditState, arms: np.ndarray) -> BanditState:
    """The control: what is still to come counts as failures."""
    counts = np.bincount(arms, minlength=len(state.arms))
    believed = {
        name: ArmState(arm.successes, arm.failures + float(count))
        for (name, arm), count in zip(state.arms.items(), counts, strict=True)
    }
    return BanditState(believed, state.at_s)
