"""A guardrail on the distribution of predictions: how often it is wrong under continuous looks, and what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inference.rollouts.analysis.drift import shape_evidence
from inference.rollouts.analysis.verdicts import (
    ArmWindow,
    Direction,
    Evidence,
    Guardrail,
    Judgement,
    Method,
    Outcome,
    Step,
    Verdict,
    judge,
)

USUAL = np.array([0.5, 0.2, 0.15, 0.1, 0.05, 0.0])
ERRORS = Guardrail("error_rate", tolerance=0.01)
ALPHA = 0.05


def guardrail(**changes) -> Guardrail:
    given = {"tolerance": 0.25, "evidence": Evidence.NONE, "min_samples": 200} | changes
    return Guardrail("drift_prediction", Direction.INCREASE, **given)


def window(counts) -> ArmWindow:
    return ArmWindow(requests=int(sum(counts)), shapes={"drift_prediction": tuple(map(int, counts))})


def looked_at(random, before, after, *, rule, looks=60, stable_each=80, canary_each=20) -> list[Judgement]:
    """Looks at ever longer windows, until the canary is rolled back."""
    stable, canary = np.zeros(len(before), int), np.zeros(len(after), int)
    seen: list[Judgement] = []
    for _look in range(looks):
        stable += random.multinomial(stable_each, before)
        canary += random.multinomial(canary_each, after)
        found = judge(
            guardrails=[rule],
            stable=window(stable),
            canary=window(canary),
            step=Step(min_s=1),
            alpha=ALPHA,
            earlier=seen[-1] if seen else None,
        )
        seen.append(found)
        if found.verdict == Verdict.ROLL_BACK:
            break
    return seen


def test_without_drift_continuous_looks_roll_back_at_most_alpha_even_without_a_tolerance() -> None:
    """The tolerance would hide a test that is wrong, so the test alone is asked here: by its p-value."""
    random = np.random.default_rng(20_26)
    wrong = runs = 0
    for _run in range(400):
        seen = looked_at(random, USUAL, USUAL, rule=guardrail(tolerance=0.0, effect=0.1, min_samples=2))
        wrong += seen[-1].verdict == Verdict.ROLL_BACK
        runs += 1
    assert wrong / runs <= ALPHA


def test_a_fixed_horizon_test_at_every_look_would_be_wrong_far_more_often() -> None:
    """What the always-valid one is for: the same windows, Pearson's χ² at each look."""
    random = np.random.default_rng(20_26)
    before, wrong = USUAL[:5], 0
    for _run in range(200):
        stable, canary = np.zeros(5, int), np.zeros(5, int)
        for _look in range(60):
            stable += random.multinomial(80, before)
            canary += random.multinomial(20, before)
            if stats.chi2_contingency([stable + 0.1, canary + 0.1]).pvalue <= ALPHA:
                wrong += 1
                break
    assert wrong / 200 > 3 * ALPHA


def test_a_real_shift_is_found_and_a_small_one_is_put_up_with_however_large_the_sample() -> None:
    random = np.random.default_rng(7)
    shifted = np.array([0.2, 0.2, 0.15, 0.15, 0.2, 0.1])
    found = [looked_at(random, USUAL, shifted, rule=guardrail()) for _run in range(40)]
    assert all(seen[-1].verdict == Verdict.ROLL_BACK for seen in found)
    assert np.median([len(seen) for seen in found]) <= 15
    small = np.array([0.46, 0.21, 0.16, 0.11, 0.06, 0.0])
    seen = looked_at(random, USUAL, small, rule=guardrail(), looks=40, stable_each=4000, canary_each=4000)
    (check,) = seen[-1].checks
    assert check.p_value is not None and check.p_value < 1e-6, "the test tells them apart"
    assert check.outcome == Outcome.NO_HARM
    assert seen[-1].verdict == Verdict.HOLD, "the least time has not passed"
    assert "No large difference" in check.explanation


def test_a_class_that_was_never_seen_before_is_found() -> None:
    found = judge(
        guardrails=[guardrail()],
        stable=window([900, 100, 0]),
        canary=window([150, 20, 80]),
        step=Step(),
    )
    assert found.verdict == Verdict.ROLL_BACK
    assert found.explanation == "The canary does harm: predicted classes."
    (check,) = found.checks
    assert "chance alone makes" in check.explanation and "0.25" in check.definition
    assert Judgement.from_json(found.to_json()) == found


def test_promotion_waits_for_samples_only_where_that_was_asked_for() -> None:
    fine = {"requests": 3000, "errors": 3}
    for evidence, verdict in ((Evidence.NONE, Verdict.PROMOTE), (Evidence.SAMPLES, Verdict.HOLD)):
        found = judge(
            guardrails=[ERRORS, guardrail(evidence=evidence)],
            stable=ArmWindow(**fine),
            canary=ArmWindow(**fine),
            step=Step(min_s=0),
        )
        assert found.verdict == verdict
        check = found.check("drift_prediction")
        assert check is not None
        assert (check.outcome, check.canary_samples) == (Outcome.TOO_FEW, 0)


def test_what_cannot_be_asked_of_it() -> None:
    with pytest.raises(ValueError, match="rules harm out"):
        guardrail(evidence=Evidence.NO_HARM)
    with pytest.raises(ValueError, match="every look"):
        guardrail(method=Method.FIXED_HORIZON)
    for stable, canary in (((1,), (1,)), ((1, 2), (1, 2, 3)), ((1, -1), (1, 1))):
        with pytest.raises(ValueError, match="same bins"):
            shape_evidence(stable, canary)


counts = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=2, max_size=9)


@settings(deadline=None, max_examples=80)
@given(counts)
def test_the_evidence_is_the_same_from_both_sides_and_never_more_than_the_likelihood_ratio(
    pairs: list[tuple[int, int]],
) -> None:
    stable, canary = zip(*pairs, strict=True)
    found = shape_evidence(stable, canary)
    assert found == pytest.approx(shape_evidence(canary, stable))
    assert found <= _greatest(stable) + _greatest(canary) - _greatest([a + b for a, b in pairs]) + 1e-9


def test_the_evidence_is_an_e_value_exactly() -> None:
    """Its mean over every outcome of two small samples is at most 1, whatever the common distribution."""
    for bins in ((0.5, 0.3, 0.2), (0.98, 0.01, 0.01)):
        total = 0.0
        outcomes = [(a, b, 6 - a - b) for a in range(7) for b in range(7 - a)]
        for stable in outcomes:
            for canary in outcomes:
                chance = stats.multinomial.pmf(stable, 6, bins) * stats.multinomial.pmf(canary, 6, bins)
                total += chance * math.exp(shape_evidence(stable, canary))
        assert total <= 1


def _greatest(found) -> float:
    return sum(count * math.log(count / sum(found)) for count in found if count)
