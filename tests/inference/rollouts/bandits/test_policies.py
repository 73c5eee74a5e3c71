"""Allocations: probabilities of being best against sampling, whole percents within their bounds, honest holdouts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from inference.rollouts.bandits.policies import (
    ArmState,
    BanditState,
    Policy,
    allocation,
    best_probabilities,
    discounted,
    holdout_percent,
    in_holdout,
    observe,
    ucb_shares,
    whole_percents,
)

arm_states = st.builds(ArmState, st.floats(0, 1e5), st.floats(0, 1e5))
names = st.sampled_from(["a", "b", "c", "d", "e"])
states = st.builds(BanditState, st.dictionaries(names, arm_states, min_size=1), st.floats(0, 1e9))


@pytest.mark.parametrize(
    "arms",
    [
        [(0, 0), (0, 0)],
        [(8, 2), (5, 1), (0, 3)],
        [(800, 200), (850, 150)],
        [(80_000, 20_000), (80_100, 19_900)],
        [(0, 5000), (3, 5000), (5000, 0)],
    ],
)
def test_thompson_s_shares_are_the_probabilities_of_being_best(arms: list[tuple[float, float]]) -> None:
    random = np.random.default_rng(1)
    drawn = np.stack([random.beta(hits + 1, misses + 1, 200_000) for hits, misses in arms])
    sampled = np.bincount(drawn.argmax(axis=0), minlength=len(arms)) / 200_000
    assert best_probabilities([ArmState(*arm) for arm in arms]) == pytest.approx(sampled, abs=0.005)


def test_a_smaller_spread_explores_less() -> None:
    arms = [ArmState(80, 20), ArmState(85, 15)]
    shares = [best_probabilities(arms, spread=spread)[1] for spread in (1, 0.5, 0.25)]
    assert 0.5 < shares[0] < shares[1] < shares[2] < 1
    # Halving the variance of a posterior is doubling what it has seen.
    doubled = best_probabilities([ArmState(161, 41), ArmState(171, 31)])
    assert shares[1] == pytest.approx(doubled[1], abs=1e-4)
    with pytest.raises(ValueError, match="spread"):
        best_probabilities(arms, spread=0)


def test_they_are_exact() -> None:
    a, b = stats.beta(31, 21), stats.beta(26, 26)
    expected, _ = integrate.quad(lambda x: a.pdf(x) * b.cdf(x), 0, 1)
    found = best_probabilities([ArmState(30, 20), ArmState(25, 25)])
    assert found[0] == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(states, st.sampled_from(Policy), st.integers(0, 10), st.floats(0, 0.5), st.data())
def test_every_allocation_sums_to_100_within_floors_and_caps(
    state: BanditState, policy: Policy, floor: int, holdout: float, data: st.DataObject
) -> None:
    capped = data.draw(st.sampled_from([None, *state.arms]))
    caps = {capped: data.draw(st.integers(0, 100))} if capped and len(state.arms) > 1 else {}
    found = allocation(state, policy, floor=floor, caps=caps, holdout=holdout)
    assert list(found) == list(state.arms) and sum(found.values()) == 100
    least = max(floor, holdout_percent(holdout, arms=len(state.arms)))
    for name, percent in found.items():
        assert min(least, caps.get(name, 100)) <= percent <= caps.get(name, 100)
    assert found == allocation(state, policy, floor=floor, caps=caps, holdout=holdout)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(any), st.integers(0, 15))
def test_whole_percents_are_the_nearest(shares: list[float], floor: int) -> None:
    wanted = 100 * np.array(shares) / sum(shares)
    assume((wanted >= floor).all())
    found = whole_percents(wanted, floors=np.full(len(shares), floor), caps=np.full(len(shares), 100))
    assert sum(found) == 100 and np.abs(np.array(found) - wanted).max() < 1


def test_a_stopped_arm_gets_nothing_and_a_canary_no_more_than_its_step() -> None:
    state = BanditState({"stable": ArmState(10, 90), "canary": ArmState(90, 10), "stopped": ArmState(99, 1)})
    for policy in Policy:
        found = allocation(state, policy, caps={"canary": 5, "stopped": 0}, holdout=0.1)
        assert found == {"stable": 95, "canary": 5, "stopped": 0}


def test_ucb_plays_its_own_pulls_ahead() -> None:
    """Against UCB1 itself, pulled one by one without a reward coming back."""
    arms = [ArmState(80, 20), ArmState(55, 15), ArmState(10, 5)]
    counts = np.array([arm.count for arm in arms])
    means = np.array([arm.successes for arm in arms]) / counts
    pulls, total = np.zeros(3), counts.sum() + 200
    for _ in range(200):
        pulls[np.argmax(means + np.sqrt(2 * math.log(total) / (counts + pulls)))] += 1
    assert ucb_shares(arms, batch=200) == pytest.approx(pulls / 200, abs=0.01)


def test_ucb_tries_what_was_never_tried_first() -> None:
    assert ucb_shares([ArmState(5, 5), ArmState(), ArmState()]).tolist() == [0, 0.5, 0.5]


@settings(deadline=None)
@given(states, st.floats(0, 1e6), st.floats(0.5, 1))
def test_what_is_known_fades_with_time_and_never_backwards(
    state: BanditState, hours: float, gamma: float
) -> None:
    later = discounted(state, at_s=state.at_s + 3600 * hours, gamma_per_hour=gamma)
    earlier = discounted(state, at_s=state.at_s - 5000, gamma_per_hour=gamma)
    assert earlier == state
    for name, arm in state.arms.items():
        assert later.arms[name].count <= arm.count + 1e-9
    assert BanditState.from_json(json.loads(json.dumps(later.to_json()))) == later


def test_resolved_outcomes_are_added_after_the_old_ones_fade() -> None:
    state = BanditState({"a": ArmState(100, 50)}, at_s=0)
    found = observe(state, {"a": (3.5, 5), "b": (1, 1)}, at_s=7200, gamma_per_hour=0.5)
    assert found.arms == {"a": ArmState(28.5, 14.0), "b": ArmState(1, 0)}
    assert found.at_s == 7200
    with pytest.raises(ValueError, match="a: 2 rewards"):
        observe(state, {"a": (3, 2)}, at_s=0)


def test_the_holdout_is_uniform_whatever_the_policy_gave_each_arm() -> None:
    weights, each = {"a": 90, "b": 6, "c": 4}, holdout_percent(0.1, arms=3)
    assert each == 4
    random = np.random.default_rng(2)
    routed = random.choice(list(weights), size=60_000, p=np.array(list(weights.values())) / 100)
    kept = dict.fromkeys(weights, 0)
    for number, name in enumerate(routed):
        kept[name] += in_holdout(f"decision-{number}", propensity=weights[name] / 100, each=each)
    assert [count / 60_000 for count in kept.values()] == pytest.approx([0.04] * 3, abs=0.003)
    assert in_holdout("x", propensity=0.04, each=4)
    with pytest.raises(ValueError, match="does not fit"):
        in_holdout("x", propensity=0.03, each=4)


def test_impossible_bounds_and_states_are_refused() -> None:
    state = BanditState({name: ArmState() for name in "abc"})
    with pytest.raises(ValueError, match="no whole split"):
        allocation(state, Policy.THOMPSON, floor=40)
    with pytest.raises(ValueError, match="no whole split"):
        allocation(state, Policy.THOMPSON, caps=dict.fromkeys("abc", 20))
    with pytest.raises(ValueError, match="cap"):
        allocation(state, Policy.THOMPSON, caps={"a": 101})
    with pytest.raises(ValueError, match="holdout"):
        allocation(state, Policy.THOMPSON, holdout=1.5)
    with pytest.raises(ValueError, match="an arm"):
        allocation(BanditState({}), Policy.UCB1)
    with pytest.raises(ValueError, match="one request"):
        ucb_shares([ArmState(1, 1)], batch=0)
    with pytest.raises(ValueError, match="finite"):
        ArmState(math.nan, 1)
    with pytest.raises(ValueError, match="at least 0"):
        ArmState(-1, 1)
    with pytest.raises(ValueError, match="gamma"):
        discounted(state, at_s=1, gamma_per_hour=0)
