"""The judgement of experiments: false winners, power, ties, mismatches, by simulation with fixed seeds."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from inference.rollouts.analysis.evidence import Outcome
from inference.rollouts.analysis.experiment_evidence import Ending, ExperimentJudgement, Standing, Stop
from inference.rollouts.analysis.experiments import Terms, judge_experiment, pair_level
from inference.rollouts.analysis.mismatch import CONCENTRATIONS, Drawn, Mismatch, mismatch
from inference.rollouts.analysis.planning import requests_needed, samples_needed
from inference.rollouts.analysis.sequential import Rate, Sums, two_means, two_proportions
from inference.rollouts.analysis.verdicts import ArmWindow, Direction, Guardrail, Step

TASKS = Terms("task_completed", Direction.DECREASE, effect=0.05, alpha=0.05)


def window(count: int, hits: int, errors: int = 0) -> ArmWindow:
    return ArmWindow(requests=count, errors=errors, rates={"task_completed": Rate(count, hits)})


def play(rates, *, runs, looks, per_look, terms=TASKS, seed=3):
    """How simulated experiments end, with a look after every `per_look` requests of each arm; and how often any
    treatment was ever called better."""
    random = np.random.default_rng(seed)
    hits = np.cumsum(
        random.binomial(per_look, np.array(rates)[:, None, None], (len(rates), runs, looks)), axis=2
    )
    ended: Counter[tuple[Ending, str]] = Counter()
    called = 0
    for run in range(runs):
        stopped: dict[str, Stop] = {}
        better = False
        for look in range(looks):
            count = per_look * (look + 1)
            judged = judge_experiment(
                terms=terms,
                arms={f"v{arm}": window(count, int(hits[arm, run, look])) for arm in range(len(rates))},
                step=Step(elapsed_s=look + 1, max_s=looks),
                stopped=stopped,
            )
            stopped = judged.stopped
            better = better or any(arm.standing == Standing.BETTER for arm in judged.arms)
            if judged.ending not in (Ending.GO_ON, Ending.STOP_ARMS):
                break
        called += better
        ended[judged.ending, judged.leader] += 1
    return ended, called / runs


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_of_equal_arms_a_false_winner_is_as_rare_as_promised_at_continuous_looks(rate):
    ended, called = play([rate] * 4, runs=400, looks=40, per_look=100)
    winners = sum(count for (ending, _leader), count in ended.items() if ending == Ending.WINNER)
    assert called <= 0.05
    assert winners / 400 <= called
    assert ended[Ending.NO_WINNER, ""] > 350


def test_equal_means_have_rare_winners_too():
    random, runs, called = np.random.default_rng(9), 200, 0
    terms = Terms("cost", Direction.INCREASE, effect=0.3, alpha=0.05, min_samples=50)
    for _run in range(runs):
        values = random.exponential(1.0, (4, 2000))
        for count in range(100, 2001, 100):
            arms = {
                f"v{arm}": ArmWindow(
                    requests=count,
                    sums={"cost": Sums(count, values[arm, :count].sum(), (values[arm, :count] ** 2).sum())},
                )
                for arm in range(4)
            }
            judged = judge_experiment(terms=terms, arms=arms, step=Step(elapsed_s=1))
            if any(arm.standing == Standing.BETTER for arm in judged.arms):
                called += 1
                break
    assert called / runs <= 0.05


def test_the_intervals_of_all_treatments_hold_together_at_all_looks():
    random, missed = np.random.default_rng(4), 0
    rates, runs = (0.3, 0.3, 0.35, 0.2), 200
    for _run in range(runs):
        hits = np.cumsum(random.binomial(150, np.array(rates)[:, None], (4, 30)), axis=1)
        for look in range(30):
            n = 150 * (look + 1)
            arms = {f"v{arm}": window(n, int(hits[arm, look])) for arm in range(4)}
            judged = judge_experiment(terms=TASKS, arms=arms, step=Step())
            truths = zip(judged.arms[1:], rates[1:], strict=True)
            if any(rate - rates[0] not in arm.interval for arm, rate in truths):
                missed += 1
                break
    assert missed / runs <= 0.05


def test_a_clear_winner_is_found_with_the_planned_power():
    planned = samples_needed(
        spread=(0.2 * 0.8, 0.25 * 0.75), effect=0.05, alpha=0.05 / 3, power=0.8, treatment_share=0.5
    )
    ended, _called = play([0.2, 0.2, 0.2, 0.25], runs=200, looks=20, per_look=planned // 20)
    assert 0.76 <= ended[Ending.WINNER, "v3"] / 200 <= 0.98


def test_the_planned_length_agrees_with_that_of_a_canary():
    """At even odds both ask when the confidence sequence leaves zero."""
    alone = samples_needed(spread=(0.09, 0.12 * 0.88), effect=0.02, alpha=0.05, power=0.5)
    canary = requests_needed(rate=0.1, increase=0.02, tolerance=0.0, effect=0.02, alpha=0.05)
    assert canary == pytest.approx(alone, rel=0.02)
    several = samples_needed(spread=(0.09, 0.12 * 0.88), effect=0.02, alpha=0.05 / 9, power=0.5)
    assert several > alone
    assert samples_needed(spread=(0.09, 0.1), effect=0.02, alpha=0.05, power=0.9) > alone
    for wrong in ({"effect": 0.0}, {"power": 1.0}, {"treatment_share": 0.0}, {"alpha": 2.0}):
        with pytest.raises(ValueError, match="effect"):
            samples_needed(**{"spread": (0.1, 0.1), "effect": 0.1, "alpha": 0.05, "power": 0.8} | wrong)


def judged(*hits, count=1000, step=None, terms=TASKS, **more):
    arms = {f"v{number}": window(count, found) for number, found in enumerate(hits)}
    return judge_experiment(terms=terms, arms=arms, step=step or Step(elapsed_s=1, max_s=10), **more)


def test_two_better_treatments_that_cannot_be_told_apart_are_for_a_person():
    going = judged(200, 400, 410)
    assert (going.ending, going.leader) == (Ending.GO_ON, "v2")
    over = judged(200, 400, 410, step=Step(elapsed_s=10, max_s=10))
    assert over.ending == Ending.TIE
    assert "which one is best is not shown" in over.explanation
    assert judged(200, 300, 600).ending == Ending.WINNER
    apart = judged(200, 300, 600)
    assert (apart.rivals[0].beaten, apart.rivals[0].ahead) == (True, False)


def test_a_winner_is_cleared_by_its_guardrails():
    terms = Terms(
        "task_completed",
        Direction.DECREASE,
        effect=0.05,
        alpha=0.05,
        guardrails=(Guardrail("error_rate", tolerance=0.001, min_samples=100),),
    )
    assert judged(200, 600, terms=terms).ending == Ending.GO_ON
    over = judged(200, 600, terms=terms, step=Step(elapsed_s=10, max_s=10))
    assert over.ending == Ending.TIE
    assert "does not rule harm out" in over.explanation
    arms = {"a": window(1000, 200), "b": window(1000, 600, errors=300)}
    harmful = judge_experiment(terms=terms, arms=arms, step=Step(elapsed_s=1))
    assert harmful.stopped == {"b": Stop("harm", "error_rate")}
    assert harmful.ending == Ending.ALL_STOPPED
    assert harmful.arms[1].checks[0].outcome == Outcome.HARM


def test_what_ends_it_without_a_winner():
    assert judged(500, 500, 510, count=20_000).ending == Ending.NO_WINNER, "nothing that matters can come"
    assert judged(500, 500).ending == Ending.GO_ON
    assert judged(500, 500, step=Step(elapsed_s=10, max_s=10)).ending == Ending.NO_WINNER
    assert judged(500, 500, step=Step(elapsed_s=1, max_samples=1000)).ending == Ending.NO_WINNER
    assert judged(500, 900, step=Step(elapsed_s=1, min_s=5)).ending == Ending.GO_ON
    worse = judged(500, 200, 500)
    assert (worse.ending, worse.stopped) == (Ending.STOP_ARMS, {"v1": Stop("worse", "task_completed")})
    assert judged(500, 200, 500, stopped=worse.stopped).ending == Ending.GO_ON
    assert judged(500, 200).ending == Ending.ALL_STOPPED
    with pytest.raises(ValueError, match="treatment"):
        judged(500)


def test_less_is_better_where_an_increase_harms():
    terms = Terms("error_rate", Direction.INCREASE, effect=0.02, alpha=0.05)
    arms = {"a": ArmWindow(2000, 200), "b": ArmWindow(2000, 20), "c": ArmWindow(2000, 600)}
    found = judge_experiment(terms=terms, arms=arms, step=Step(), stopped={"c": Stop("worse", "error_rate")})
    assert (found.ending, found.leader, found.arm("c").standing) == (Ending.WINNER, "b", Standing.WORSE)


@given(
    counts=st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 1)), min_size=2, max_size=6),
    elapsed=st.floats(0, 20),
)
def test_a_judgement_survives_being_stored_and_read(counts, elapsed):
    arms = {f"v{n}": window(count, int(count * share)) for n, (count, share) in enumerate(counts)}
    terms = Terms(
        "task_completed", Direction.DECREASE, 0.05, 0.05, guardrails=(Guardrail("error_rate", tolerance=0.1),)
    )
    drawn = mismatch(
        [Drawn({name: 1 / len(arms) for name in arms}, {n: a.requests for n, a in arms.items()})]
    )
    found = judge_experiment(terms=terms, arms=arms, step=Step(elapsed, 1, 10), drawn=drawn)
    again = ExperimentJudgement.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert again.explanation
    assert again.definition
    assert found.ending != Ending.MISMATCH or drawn.p_value <= drawn.alpha


@given(hits=st.integers(0, 400), other=st.integers(0, 400))
def test_one_treatment_is_the_plain_test(hits, other):
    """With a single treatment nothing is divided: the interval is the mSPRT's own."""
    found = judged(hits, other, count=400)
    plain = two_proportions(Rate(400, hits), Rate(400, other), tau=0.05, alpha=0.05)
    assert found.arm("v1").interval == plain.interval
    assert found.arm("v1").p_value == plain.p_value


def test_the_level_of_pairs():
    assert [pair_level(0.06, k) for k in (1, 2, 3, 4)] == [0.06, 0.06, 0.02, 0.01]
    assert two_means(Sums(0, 0, 0), Sums(0, 0, 0), tau=1, alpha=0.1).interval is None


# What was drawn.


def test_the_evidence_is_the_published_formula():
    shares, counts = np.array([0.5, 0.3, 0.2]), np.array([60, 20, 20])
    ratios = []
    for c in CONCENTRATIONS:
        prior = c * shares
        mixed = gammaln(c) - gammaln(c + 100) + (gammaln(prior + counts) - gammaln(prior)).sum()
        ratios.append(np.exp(mixed - (counts * np.log(shares)).sum()))
    found = mismatch([Drawn(dict(zip("abc", shares, strict=True)), dict(zip("abc", counts, strict=True)))])
    assert found.p_value == pytest.approx(min(1.0, 1 / np.mean(ratios)))
    assert found.expected == pytest.approx({"a": 50, "b": 30, "c": 20})


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.4, 0.3, 0.2, 0.1), (0.91, 0.01, 0.04, 0.04)])
def test_a_true_draw_is_rarely_called_a_mismatch_at_continuous_looks(shares):
    random, called, names = np.random.default_rng(7), 0, [f"v{n}" for n in range(len(shares))]
    promised = dict(zip(names, shares, strict=True))
    for _run in range(400):
        counts = np.cumsum(random.multinomial(50, shares, 60), axis=0)
        called += any(
            mismatch([Drawn(promised, dict(zip(names, map(int, row), strict=True)))], alpha=0.05).found
            for row in counts
        )
    assert called / 400 <= 0.05


def test_gross_mismatches_are_found_at_once_and_fine_ones_in_time():
    promised = {"a": 0.5, "b": 0.25, "c": 0.25}
    assert mismatch([Drawn(promised, {"a": 100, "b": 50, "c": 0})]).found
    assert not mismatch([Drawn(promised, {"a": 5100, "b": 2550, "c": 2350})]).found
    assert mismatch([Drawn(promised, {"a": 51_000, "b": 25_500, "c": 23_500})]).found
    assert not mismatch([Drawn(promised, {})]).found
    found = mismatch([Drawn(promised, {"a": 200, "b": 100, "c": 0})])
    assert Mismatch.from_json(json.loads(json.dumps(found.to_json()))).found


def test_times_with_other_shares_count_together():
    before, after = {"a": 0.4, "b": 0.3, "c": 0.3}, {"a": 0.7, "c": 0.3}
    fair = [Drawn(before, {"a": 400, "b": 300, "c": 300}), Drawn(after, {"a": 700, "c": 300})]
    assert not mismatch(fair).found
    # Taken together, these would look like fair draws; each by itself is not.
    skewed = [Drawn(before, {"a": 300, "b": 300, "c": 400}), Drawn(after, {"a": 800, "c": 200})]
    assert mismatch(skewed).found
    with pytest.raises(ValueError, match="sum to 1"):
        mismatch([Drawn({"a": 0.5, "b": 0.4}, {})])


def test_the_experiment_ends_by_a_mismatch_whatever_else_is_shown():
    drawn = mismatch([Drawn({"v0": 0.5, "v1": 0.5}, {"v0": 1000, "v1": 500})])
    found = judged(200, 900, drawn=drawn)
    assert found.ending == Ending.MISMATCH
    assert "v1 500 instead of 750" in found.explanation
