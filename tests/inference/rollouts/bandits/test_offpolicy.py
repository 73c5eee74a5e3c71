"""Off-policy estimates: unbiased on simulated logs, intervals that cover, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from inference.rollouts.bandits.offpolicy import Log, PolicyValue, doubly_robust, ips, snips

RATES = {"a": 0.3, "b": 0.5, "c": 0.6}
LOGGED = {"a": 0.6, "b": 0.3, "c": 0.1}
TARGET = {"a": 0.1, "b": 0.3, "c": 0.6}
TRUTH = sum(TARGET[arm] * rate for arm, rate in RATES.items())


def log_of(n: int, seed: int) -> Log:
    """A log of n decisions made with the logged policy."""
    random = np.random.default_rng(seed)
    arms = random.choice(list(LOGGED), size=n, p=list(LOGGED.values()))
    rewards = random.random(n) < np.array([RATES[arm] for arm in arms])
    return Log(arms, np.array([LOGGED[arm] for arm in arms]), rewards.astype(float))


def estimates(log: Log) -> list[PolicyValue]:
    return [ips(log, TARGET), snips(log, TARGET), doubly_robust(log, TARGET)]


def test_each_estimate_finds_the_truth_and_covers_it_as_often_as_it_says() -> None:
    found = [estimates(log_of(2000, seed)) for seed in range(200)]
    for values in zip(*found, strict=True):
        assert np.mean([value.value for value in values]) == pytest.approx(TRUTH, abs=0.01)
        assert 0.9 <= np.mean([TRUTH in value.interval for value in values]) <= 0.99
    widths = [np.mean([value.interval.width for value in values]) for values in zip(*found, strict=True)]
    assert widths[1] < widths[0] and widths[2] < widths[0]


def test_a_right_reward_model_narrows_and_a_wrong_one_does_not_mislead() -> None:
    log = log_of(20_000, 1)
    right = {arm: np.full(20_000, rate) for arm, rate in RATES.items()}
    wrong = {arm: np.full(20_000, 1 - rate) for arm, rate in RATES.items()}
    for model in (right, wrong):
        assert TRUTH in doubly_robust(log, TARGET, predicted=model, confidence=0.999).interval


def test_the_logging_policy_itself_is_worth_its_mean_and_the_whole_log() -> None:
    log = log_of(5000, 2)
    for estimate in (ips(log, LOGGED), snips(log, LOGGED)):
        assert estimate.value == pytest.approx(log.rewards.mean())
        assert estimate.effective_samples == pytest.approx(5000)
    assert ips(log, TARGET).effective_samples < 2500


def test_a_target_may_depend_on_the_decision() -> None:
    log = log_of(1000, 3)
    per_decision = np.array([TARGET[arm] for arm in log.arms])
    assert ips(log, per_decision) == ips(log, TARGET)


@pytest.mark.parametrize("bad", [0.0, None, -0.1, 1.5])
def test_without_a_propensity_nothing_is_estimated(bad: float | None) -> None:
    with pytest.raises(ValueError, match="1 of 3 decisions have no propensity"):
        Log.of([("a", 0.5, 1), ("b", bad, 0), ("a", 0.5, 1)])


def test_impossible_input_is_refused() -> None:
    log = Log.of([("a", 0.5, 1), ("b", 0.5, 0)])
    with pytest.raises(ValueError, match="no decision for c"):
        ips(log, {"a": 0.5, "c": 0.5})
    with pytest.raises(ValueError, match="sum to 1"):
        ips(log, {"a": 0.5})
    with pytest.raises(ValueError, match="between 0 and 1"):
        ips(log, {"a": 1.5, "b": -0.5})
    with pytest.raises(ValueError, match="each decision"):
        ips(log, np.array([0.5]))
    with pytest.raises(ValueError, match="none of the logged"):
        snips(log, np.zeros(2))
    with pytest.raises(ValueError, match="each arm"):
        doubly_robust(log, {"a": 1.0}, predicted={"b": np.zeros(2)})
    with pytest.raises(ValueError, match="fewer than two"):
        Log.of([("a", 0.5, 1)])
    with pytest.raises(ValueError, match="finite"):
        Log.of([("a", 0.5, float("nan")), ("a", 0.5, 1)])
    with pytest.raises(ValueError, match="for each decision"):
        Log(np.array(["a"]), np.array([0.5, 0.5]), np.array([1.0]))
