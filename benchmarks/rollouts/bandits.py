"""Our bandits as the product runs them, against mabwiser's on the same terms, dealing evenly, and an oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

from inference.rollouts.bandits.policies import Policy
from inference.rollouts.bandits.simulator import Setting, TrueArm, simulate

RATES = (0.80, 0.85)
PULLS = 5_000
BATCH = 50
DELAYS = (0, 100, 500)
MANY_SEEDS = 200
MANY = f"Thompson, {MANY_SEEDS} seeds"
THEIRS = {
    "mabwiser Thompson": LearningPolicy.ThompsonSampling(),
    "mabwiser UCB1": LearningPolicy.UCB1(alpha=1),
}


@dataclass(frozen=True)
class Learned:
    """Means over the seeds. `error` is the standard error of the best arm's share."""

    policy: str
    delay: int
    best_share: float
    error: float
    regret: float


@dataclass(frozen=True)
class Curves:
    """The regret so far at every pull, and the best arm's share of each batch; means over the seeds."""

    regret: np.ndarray
    best: np.ndarray


def ours(name: str, setting: Setting, *, seeds: int) -> tuple[Learned, Curves]:
    """One of our policies in the reference's setting."""
    arms = [TrueArm("old", RATES[0]), TrueArm("new", RATES[1])]
    runs = [simulate(arms, setting, pulls=PULLS, seed=seed) for seed in range(seeds)]
    curves = Curves(
        np.mean([run.regret for run in runs], axis=0),
        np.mean([run.shares[:, 1] / 100 for run in runs], axis=0),
    )
    return _learned(name, setting.delay, [run.best_share for run in runs], curves), curves


def theirs(name: str, *, delay: int, seeds: int) -> tuple[Learned, Curves]:
    """One of mabwiser's policies: it learns after each batch what has come back, as ours does."""
    chosen = np.stack([_mabwiser(name, delay=delay, seed=seed) for seed in range(seeds)])
    curves = Curves(
        np.cumsum((RATES[1] - RATES[0]) * (chosen == 0), axis=1).mean(axis=0),
        (chosen == 1).reshape(seeds, -1, BATCH).mean(axis=(0, 2)),
    )
    return _learned(name, delay, list((chosen == 1).mean(axis=1)), curves), curves


def bounds() -> list[Learned]:
    """What dealing evenly and knowing the rates would come to."""
    gap = RATES[1] - RATES[0]
    return [Learned("dealt evenly", 0, 0.5, 0.0, gap * PULLS / 2), Learned("oracle", 0, 1.0, 0.0, 0.0)]


def everything(*, seeds: int) -> tuple[list[Learned], dict[tuple[str, int], Curves]]:
    """Every policy at every delay."""
    rows: list[Learned] = []
    curves: dict[tuple[str, int], Curves] = {}
    for delay in DELAYS:
        made = [
            ours("Thompson", Setting(Policy.THOMPSON, BATCH, delay), seeds=seeds),
            ours("Thompson, spread 1", Setting(Policy.THOMPSON, BATCH, delay, spread=1.0), seeds=seeds),
            ours(
                "Thompson, pending as failure",
                Setting(Policy.THOMPSON, BATCH, delay, pending_as_failure=True),
                seeds=seeds,
            ),
            ours("UCB1", Setting(Policy.UCB1, BATCH, delay), seeds=seeds),
            *(theirs(name, delay=delay, seeds=seeds) for name in THEIRS),
        ]
        for row, curve in made:
            rows.append(row)
            curves[row.policy, delay] = curve
    many = ours(MANY, Setting(Policy.THOMPSON, BATCH, max(DELAYS)), seeds=MANY_SEEDS)
    return [*rows, many[0], *bounds()], curves


def _mabwiser(name: str, *, delay: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    policy = MAB([0, 1], THEIRS[name], seed=seed)
    chosen = np.empty(PULLS, dtype=np.int64)
    rewards = np.empty(PULLS, dtype=np.int64)
    resolved = 0
    for start in range(0, PULLS, BATCH):
        back = max(resolved, start - delay)
        if back > resolved:
            learn = policy.partial_fit if resolved else policy.fit
            learn(chosen[resolved:back], rewards[resolved:back])
            resolved = back
        # Before anything is known mabwiser cannot choose; ours deals evenly then.
        drawn = [policy.predict() for _ in range(BATCH)] if resolved else random.integers(0, 2, BATCH)
        chosen[start : start + BATCH] = drawn
        rewards[start : start + BATCH] = random.random(BATCH) < np.take(RATES, drawn)
    return chosen


def _learned(policy: str, delay: int, shares: list[float], curves: Curves) -> Learned:
    return Learned(
        policy=policy,
        delay=delay,
        best_share=float(np.mean(shares)),
        error=float(np.std(shares, ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else 0.0,
        regret=float(curves.regret[-1]),
    )
