"""What another policy would have earned on traffic that was routed by ours: estimates from logged propensities.

A decision is logged with its arm, the probability that this arm had, and its reward once resolved. The probability is
exact, for the hot route draws from whole-percent weights. Every estimate refuses a log in which it is missing or zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.rollouts.analysis.intervals import Interval, two_sided_z


@dataclass(frozen=True, eq=False)
class Log:
    """Resolved decisions: `arms`, `propensities` (above 0, at most 1) and `rewards`, each of length n.

    Raises ValueError for what cannot have been logged: other lengths, fewer than two decisions, a propensity that is
    missing (NaN), 0 or above 1, a reward that is not finite.
    """

    arms: np.ndarray
    propensities: np.ndarray
    rewards: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.arms) == len(self.propensities) == len(self.rewards):
            raise ValueError("a log has an arm, a propensity and a reward for each decision")
        if len(self.arms) < 2:
            raise ValueError("nothing can be estimated from fewer than two decisions")
        bad = ~(np.isfinite(self.propensities) & (self.propensities > 0) & (self.propensities <= 1))
        if bad.any():
            raise ValueError(
                f"{int(bad.sum())} of {len(bad)} decisions have no propensity above 0 and at most 1; "
                "without it nothing can be said about another policy"
            )
        if not np.isfinite(self.rewards).all():
            raise ValueError("a reward is a finite number")

    @classmethod
    def of(cls, decisions: Sequence[tuple[str, float | None, float]]) -> Log:
        """From (arm, propensity, reward) rows; a propensity of None is a missing one."""
        arms = np.array([arm for arm, _, _ in decisions], dtype=object)
        propensities = np.array([math.nan if p is None else p for _, p, _ in decisions], dtype=float)
        return cls(arms, propensities, np.array([reward for _, _, reward in decisions], dtype=float))


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """A policy's estimated mean reward. `effective_samples` is how many decisions of its own the log is worth."""

    value: float
    interval: Interval
    effective_samples: float
    decisions: int
    method: str


Target = Mapping[str, float] | np.ndarray
"""What the other policy would do: probabilities by arm, or of the logged arm for each decision, of length n."""


def ips(log: Log, target: Target, *, confidence: float = 0.95) -> PolicyValue:
    """Inverse propensity scoring (Horvitz and Thompson 1952): unbiased, wide where the policies differ much."""
    weights = _weights(log, target)
    return _value(weights * log.rewards, weights, confidence, "ips")


def snips(log: Log, target: Target, *, confidence: float = 0.95) -> PolicyValue:
    """Self-normalised IPS (Swaminathan and Joachims 2015): a little bias for much less variance.

    Raises ValueError when the target would have made none of the logged decisions.
    """
    weights = _weights(log, target)
    if weights.sum() == 0:
        raise ValueError("the other policy would have made none of the logged decisions")
    value = float(weights @ log.rewards / weights.sum())
    # The ratio's influence function: its mean is the value, its spread the value's error.
    influence = value + weights * (log.rewards - value) / weights.mean()
    return _value(influence, weights, confidence, "snips")


def doubly_robust(
    log: Log,
    target: Mapping[str, float],
    *,
    predicted: Mapping[str, np.ndarray] | None = None,
    confidence: float = 0.95,
) -> PolicyValue:
    """The doubly robust estimate (Dudík, Langford and Li, ICML 2011): right if the propensities or the model are.

    `predicted` holds a reward model's prediction for each arm of the target and each decision, (n,) each. Without one,
    each half of the log takes an arm's mean reward from the other half, so that no reward predicts itself.
    """
    weights = _weights(log, target)
    model = _arm_means(log, list(target)) if predicted is None else predicted
    if not set(target) <= set(model) or any(len(model[arm]) != len(log.arms) for arm in target):
        raise ValueError("the reward model predicts each arm of the target for each decision")
    expected = np.sum([share * np.asarray(model[arm]) for arm, share in target.items()], axis=0)
    logged = np.zeros(len(log.arms))
    for arm in target:
        logged = np.where(log.arms == arm, model[arm], logged)
    return _value(expected + weights * (log.rewards - logged), weights, confidence, "doubly robust")


def _weights(log: Log, target: Target) -> np.ndarray:
    """How much more likely each logged decision is under the target."""
    if isinstance(target, np.ndarray):
        wanted = target
        if wanted.shape != log.arms.shape:
            raise ValueError("the target has one probability for each decision")
    else:
        if not math.isclose(sum(target.values()), 1.0, abs_tol=1e-6):
            raise ValueError("the target's probabilities sum to 1")
        never = sorted(arm for arm, share in target.items() if share > 0 and not (log.arms == arm).any())
        if never:
            raise ValueError(f"the log has no decision for {', '.join(never)}: nothing is known of it")
        wanted = np.array([target.get(arm, 0.0) for arm in log.arms])
    if not np.isfinite(wanted).all() or wanted.min() < 0 or wanted.max() > 1:
        raise ValueError("the target's probabilities lie between 0 and 1")
    return np.asarray(wanted / log.propensities)


def _arm_means(log: Log, arms: list[str]) -> dict[str, np.ndarray]:
    half = np.arange(len(log.arms)) % 2
    model = {}
    for arm in arms:
        means = np.zeros(2)
        for fold in (0, 1):
            elsewhere = log.rewards[(half != fold) & (log.arms == arm)]
            means[fold] = elsewhere.mean() if len(elsewhere) else log.rewards.mean()
        model[arm] = means[half]
    return model


def _value(terms: np.ndarray, weights: np.ndarray, confidence: float, method: str) -> PolicyValue:
    n, mean = len(terms), float(terms.mean())
    reach = two_sided_z(confidence) * float(terms.std(ddof=1)) / math.sqrt(n)
    squared = float(weights @ weights)
    effective = float(weights.sum()) ** 2 / squared if squared else 0.0
    return PolicyValue(mean, Interval(mean - reach, mean + reach), effective, n, method)
