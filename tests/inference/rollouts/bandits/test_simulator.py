"""Simulated and replayed policies: reproducible, better than their controls, and as good as mabwiser's."""

from __future__ import annotations

import numpy as np
import pytest
from mabwiser.mab import MAB, LearningPolicy

from inference.rollouts.bandits.offpolicy import Log
from inference.rollouts.bandits.policies import Policy, best_probabilities
from inference.rollouts.bandits.simulator import Setting, TrueArm, replay, simulate

ARMS = [TrueArm("old", 0.80), TrueArm("new", 0.85)]


def mean_best_share(setting: Setting, *, runs: int = 4) -> float:
    return float(np.mean([simulate(ARMS, setting, pulls=3000, seed=seed).best_share for seed in range(runs)]))


def test_a_run_is_what_it_says_and_the_same_for_the_same_seed() -> None:
    setting = Setting(batch=100, delay=150)
    run, again = (simulate(ARMS, setting, pulls=1050, seed=3) for _ in range(2))
    assert np.array_equal(run.shares, again.shares) and np.array_equal(run.regret, again.regret)
    assert run.shares.shape == (11, 2) and (run.shares.sum(axis=1) == 100).all() and run.shares.min() >= 2
    assert (np.diff(run.regret) >= -1e-12).all()
    assert run.regret[-1] == pytest.approx(0.05 * 1050 * (1 - run.best_share))
    # Before the first reward is back nothing is known; at the last update 1000 − 150 pulls are.
    assert run.shares[0].tolist() == run.shares[1].tolist() == [50, 50]
    assert sum(arm.count for arm in run.state.arms.values()) == 850


def test_counting_what_is_pending_as_failure_is_worse() -> None:
    resolved_only, pending = (
        mean_best_share(Setting(batch=100, delay=500, pending_as_failure=mistake))
        for mistake in (False, True)
    )
    assert resolved_only > pending + 0.1


def test_our_policies_learn_what_mabwiser_s_do() -> None:
    """The expectations of mabwiser's UCB1 after the same pulls, and Thompson's draws, lead to the same arm shares."""
    run = simulate(ARMS, Setting(policy=Policy.THOMPSON, batch=50), pulls=600, seed=4)
    states = list(run.state.arms.values())
    decisions = np.repeat([0, 1], [int(state.count) for state in states])
    rewards = np.concatenate([np.repeat([1, 0], [int(s.successes), int(s.failures)]) for s in states])
    theirs = MAB([0, 1], LearningPolicy.ThompsonSampling(), seed=5)
    theirs.fit(decisions, rewards)
    chosen = [theirs.predict() for _ in range(3000)]
    assert best_probabilities(states)[1] == pytest.approx(float(np.mean(chosen)), abs=0.03)


def test_a_policy_that_forgets_follows_an_arm_that_changes() -> None:
    arms = [TrueArm("a", ((0, 0.9), (0.5, 0.9), (0.51, 0.3))), TrueArm("b", 0.6)]
    forgetting, stubborn = (
        np.mean(
            [
                simulate(arms, Setting(batch=100, gamma_per_batch=gamma), pulls=4000, seed=seed).regret[-1]
                for seed in range(3)
            ]
        )
        for gamma in (0.9, 1.0)
    )
    assert forgetting < stubborn


def test_caps_hold_through_a_run() -> None:
    run = simulate(ARMS, Setting(caps={"new": 10}, holdout=0.1), pulls=1000, seed=1)
    assert run.shares[:, 1].max() == 10 and run.shares.min() >= 5


def test_replay_earns_what_the_policy_would_have_earned() -> None:
    random = np.random.default_rng(6)
    arms = random.choice(["old", "new"], size=20_000, p=[0.7, 0.3])
    rewards = random.random(20_000) < np.where(arms == "new", 0.85, 0.80)
    log = Log(arms.astype(object), np.where(arms == "new", 0.3, 0.7), rewards.astype(float))
    found = replay(log, Setting(batch=200), seed=7)
    assert found == replay(log, Setting(batch=200), seed=7)
    assert found.offered == 20_000 and 0 < found.accepted < 20_000
    assert found.shares[0] == {"new": 50, "old": 50} and found.shares[-1]["new"] > 80
    last = found.shares[-1]
    assert 0.85 * last["new"] / 100 + 0.80 * last["old"] / 100 in found.estimate.interval
    assert found.interval and found.rate in found.interval and found.interval.low > 0.8


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="an arm"):
        simulate([], Setting(), pulls=10, seed=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        replay(Log.of([("old", 0.5, 4.0), ("new", 0.5, 1.0)]), Setting(), seed=0)
    with pytest.raises(ValueError, match="batch"):
        simulate(ARMS, Setting(batch=0), pulls=10, seed=0)
