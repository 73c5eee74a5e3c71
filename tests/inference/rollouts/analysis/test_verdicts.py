"""Judgements: which verdict when, error rates over whole rollouts, and evidence that is stored and read again."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.rollouts.analysis.drift import Reference, drift_check, psi
from inference.rollouts.analysis.sequential import Rate, Sums
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
    level,
)

ERRORS = Guardrail("error_rate", tolerance=0.01)
GUARDRAILS = (
    ERRORS,
    Guardrail("p50", tolerance=0.1),
    Guardrail("p99", tolerance=0.02),
    Guardrail("satisfaction", Direction.DECREASE, tolerance=0.2, min_samples=50),
)


def window(requests: int, *, errors: float = 0.01, p50: float = 0.5, p99: float = 0.01) -> ArmWindow:
    """A window of exactly these rates, with satisfaction 4 ± 1 from one request in ten."""
    rated = requests // 10
    return ArmWindow(
        requests=requests,
        errors=round(requests * errors),
        timed=requests,
        slower={"p50": round(requests * p50), "p99": round(requests * p99)},
        sums={"satisfaction": Sums(rated, 4.0 * rated, 17.0 * rated)} if rated else {},
    )


def judged(
    canary: ArmWindow, *, stable: ArmWindow | None = None, step: Step | None = None, **more: object
) -> Judgement:
    return judge(
        guardrails=GUARDRAILS,
        stable=stable or window(canary.requests),
        canary=canary,
        step=step or Step(elapsed_s=10, max_s=100),
        **more,  # type: ignore[arg-type]
    )


@st.composite
def windows(draw: st.DrawFn) -> ArmWindow:
    requests = draw(st.integers(0, 20_000))
    timed = draw(st.integers(0, requests))
    rated = draw(st.integers(0, 500))
    return ArmWindow(
        requests=requests,
        errors=draw(st.integers(0, requests)),
        timed=timed,
        slower={name: draw(st.integers(0, timed)) for name in ("p50", "p99")},
        sums={"satisfaction": Sums(rated, 3.5 * rated, 13.0 * rated)} if rated else {},
    )


steps = st.builds(
    Step,
    elapsed_s=st.floats(0, 200),
    min_s=st.sampled_from([0.0, 50.0]),
    max_s=st.sampled_from([100.0, math.inf]),
    max_samples=st.sampled_from([None, 5000]),
)
methods = st.sampled_from([Method.ALWAYS_VALID, Method.FIXED_HORIZON])


@settings(deadline=None, max_examples=100)
@given(windows(), windows(), steps, methods, st.sampled_from(Evidence))
def test_a_judgement_follows_from_its_checks_and_survives_json(
    stable: ArmWindow, canary: ArmWindow, step: Step, method: Method, evidence: Evidence
) -> None:
    guardrails = [
        Guardrail(one.metric, one.direction, one.tolerance, evidence=evidence, method=method)
        for one in GUARDRAILS
    ]
    found = judge(guardrails=guardrails, stable=stable, canary=canary, step=step)
    outcomes = {check.outcome for check in found.checks}
    if Outcome.HARM in outcomes:
        assert found.verdict == Verdict.ROLL_BACK
    elif found.verdict == Verdict.PROMOTE:
        assert step.ripe() and (evidence == Evidence.NONE or outcomes == {Outcome.NO_HARM})
    else:
        assert (found.verdict == Verdict.INCONCLUSIVE) == step.over(canary)
    for check in found.checks:
        assert check.alpha == level(alpha=0.05, checks=4)
        if check.p_value is not None:
            assert (check.outcome == Outcome.HARM) == (check.p_value <= check.alpha)
        assert check.definition and check.explanation
    assert found.explanation
    assert Judgement.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    assert found == judge(guardrails=guardrails, stable=stable, canary=canary, step=step)


def test_it_holds_until_there_is_evidence_and_promotes_when_harm_is_ruled_out() -> None:
    verdicts = [judged(window(n)).verdict for n in (0, 50, 500, 20_000)]
    assert verdicts == [Verdict.HOLD, Verdict.HOLD, Verdict.HOLD, Verdict.PROMOTE]


def test_nothing_is_promoted_before_its_least_time() -> None:
    early = judged(window(20_000), step=Step(elapsed_s=10, min_s=60, max_s=100))
    assert early.verdict == Verdict.HOLD
    assert {check.outcome for check in early.checks} == {Outcome.NO_HARM}


def test_a_step_that_ends_undecided_asks_a_person() -> None:
    assert judged(window(500), step=Step(elapsed_s=100, max_s=100)).verdict == Verdict.INCONCLUSIVE
    assert judged(window(500), step=Step(elapsed_s=10, max_samples=500)).verdict == Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("name", "canary"),
    [
        ("error_rate", window(5000, errors=0.05)),
        ("p50", window(5000, p50=0.8)),
        ("p99", window(5000, p99=0.08)),
        ("satisfaction", replace(window(5000), sums={"satisfaction": Sums(500, 1500, 5000)})),
    ],
)
def test_harm_in_one_metric_outranks_everything(name: str, canary: ArmWindow) -> None:
    found = judged(canary, step=Step(elapsed_s=1, min_s=60, max_s=100))
    assert found.verdict == Verdict.ROLL_BACK
    assert [check.name for check in found.checks if check.outcome == Outcome.HARM] == [name]
    assert name.replace("_", " ") in found.explanation


def test_a_canary_that_fails_outright_is_stopped_long_before_the_least_samples() -> None:
    guardrail = Guardrail("error_rate", tolerance=0.01, min_samples=1000)
    found = [
        judge(
            guardrails=[guardrail],
            stable=window(2000),
            canary=ArmWindow(requests=n, errors=n),
            step=Step(),
        )
        for n in range(6)
    ]
    assert [one.verdict for one in found][::5] == [Verdict.HOLD, Verdict.ROLL_BACK]
    assert "exact test" in found[-1].checks[0].explanation
    assert "exact test" not in found[0].checks[0].explanation


def test_few_samples_of_a_rare_error_are_not_taken_for_its_absence() -> None:
    """300 requests without an error say little about a tolerance of half a point, however good they look."""
    canary, stable = ArmWindow(requests=300), ArmWindow(requests=6000, errors=6)
    guardrail = Guardrail("error_rate", tolerance=0.005)
    found = judge(guardrails=[guardrail], stable=stable, canary=canary, step=Step())
    assert found.checks[0].outcome == Outcome.UNDECIDED


def test_the_p_value_is_the_least_so_far() -> None:
    worse, better = window(1000, errors=0.037), window(6000, errors=0.012)
    first = judged(worse)
    second = judged(better, earlier=first)
    alone = judged(better)
    names = [check.name for check in first.checks]
    assert first.check("error_rate").p_value < 1  # type: ignore[union-attr, operator]
    for name in names:
        p = [one.check(name).p_value for one in (first, second, alone)]  # type: ignore[union-attr]
        assert p[1] == min(p[0], p[2])  # type: ignore[type-var]


def test_a_fixed_horizon_guardrail_is_looked_at_once() -> None:
    guardrail = Guardrail("error_rate", tolerance=0.01, method=Method.FIXED_HORIZON)
    canary = window(5000, errors=0.05)
    before, after = (
        judge(guardrails=[guardrail], stable=window(5000), canary=canary, step=Step(elapsed_s=s, max_s=100))
        for s in (99, 100)
    )
    assert (before.verdict, before.checks[0].outcome) == (Verdict.HOLD, Outcome.WAITING)
    assert before.checks[0].interval is None and before.checks[0].p_value is None
    assert (after.verdict, after.checks[0].method) == (Verdict.ROLL_BACK, Method.FIXED_HORIZON)


def test_a_rate_that_must_not_fall() -> None:
    guardrail = Guardrail("completed", Direction.DECREASE, tolerance=0.02, method=Method.ALWAYS_VALID)
    stable = ArmWindow(rates={"completed": Rate(9000, 8100)})
    verdicts = [
        judge(
            guardrails=[guardrail],
            stable=stable,
            canary=ArmWindow(rates={"completed": Rate(9000, hits)}),
            step=Step(),
        ).verdict
        for hits in (7600, 8100)
    ]
    assert verdicts == [Verdict.ROLL_BACK, Verdict.PROMOTE]


def test_what_is_only_watched_keeps_nobody_waiting_and_still_stops_harm() -> None:
    watched = Guardrail("error_rate", tolerance=0.01, evidence=Evidence.NONE)
    for canary, verdict in (
        (window(0), Verdict.PROMOTE),
        (window(5000, errors=0.1), Verdict.ROLL_BACK),
    ):
        assert judge(guardrails=[watched], stable=window(5000), canary=canary, step=Step()).verdict == verdict


def test_enough_samples_without_harm_can_be_all_that_is_asked() -> None:
    guardrail = Guardrail("error_rate", tolerance=0.001, evidence=Evidence.SAMPLES, min_samples=300)
    verdicts = [
        judge(guardrails=[guardrail], stable=window(n), canary=window(n), step=Step()).verdict
        for n in (299, 300)
    ]
    assert verdicts == [Verdict.HOLD, Verdict.PROMOTE]


def test_drift_counts_like_a_guardrail() -> None:
    random = np.random.default_rng(1)
    reference = Reference.of_numbers(random.normal(size=2000))
    drifted = psi(reference, reference.count(random.normal(2, 1, 1000)))
    check = drift_check("age", drifted, alpha=level(alpha=0.05, checks=5))
    found = judged(window(20_000), further=[check])
    assert found.verdict == Verdict.ROLL_BACK and found.checks[0].alpha == 0.01
    assert "age" in check.definition and check.explanation.startswith("The index is")
    assert Judgement.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


@pytest.mark.parametrize(("worse_by", "allowed"), [(0.0, Verdict.ROLL_BACK), (0.02, Verdict.PROMOTE)])
def test_whole_rollouts_err_no_more_often_than_promised(worse_by: float, allowed: Verdict) -> None:
    """A/A rollouts are rolled back, and rollouts past every tolerance promoted, in at most 5 % of 150 runs."""
    random, looks, errors = np.random.default_rng(5), 20, 0
    guardrails = [Guardrail("error_rate", tolerance=0.01), Guardrail("p99", tolerance=0.015)]
    for _ in range(150):
        stable, canary = (np.cumsum(random.binomial(200, [rate] * looks)) for rate in (0.01, 0.01 + worse_by))
        slow = np.cumsum(random.binomial(200, [[0.01] * looks, [0.01 + worse_by] * looks]), axis=1)
        for look in range(looks):
            n = 200 * (look + 1)
            arms = [
                ArmWindow(n, int(failed[look]), n, {"p99": int(slower[look])})
                for failed, slower in zip((stable, canary), slow, strict=True)
            ]
            verdict = judge(guardrails=guardrails, stable=arms[0], canary=arms[1], step=Step()).verdict
            if verdict != Verdict.HOLD:
                errors += verdict == allowed
                break
    assert errors / 150 <= 0.05


def test_sentences_come_in_the_reader_s_language_from_the_same_evidence() -> None:
    stored = judged(window(5000, errors=0.05)).to_json()
    with translation.override("en"):
        check = Judgement.from_json(stored).checks[0]
        assert check.explanation.startswith("Harm: 1 % of the stable version, 5 % of the canary.")
        assert "percentage points" in check.definition


@settings(deadline=None)
@given(st.sampled_from(Direction), st.floats(0, 0.5), methods, st.sampled_from(Evidence))
def test_a_guardrail_survives_json(
    direction: Direction, tolerance: float, method: Method, evidence: Evidence
) -> None:
    guardrail = Guardrail("x", direction, tolerance, effect=0.1, method=method, evidence=evidence)
    assert Guardrail.from_json(json.loads(json.dumps(guardrail.to_json()))) == guardrail
    assert Guardrail.from_json({"metric": "x", "effect": 0.1}).min_samples == 100


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="without a guardrail"):
        judge(guardrails=[], stable=window(1), canary=window(1), step=Step())
    with pytest.raises(ValueError, match="two guardrails"):
        judge(guardrails=[ERRORS, ERRORS], stable=window(1), canary=window(1), step=Step())
    with pytest.raises(ValueError, match="positive effect"):
        Guardrail("error_rate")
    with pytest.raises(ValueError, match="tolerance"):
        Guardrail("error_rate", tolerance=math.nan, effect=1)
    with pytest.raises(ValueError, match="at least 2"):
        Guardrail("error_rate", tolerance=0.1, min_samples=1)
    with pytest.raises(ValueError, match="fixed horizon"):
        Guardrail("error_rate", tolerance=0.1, method=Method.THRESHOLD)
    with pytest.raises(ValueError, match="6 of 5"):
        ArmWindow(timed=5, slower={"p99": 6})
    with pytest.raises(ValueError, match="one step"):
        level(alpha=0.05, checks=1, steps=0)
    with pytest.raises(ValueError, match="purple"):
        Guardrail.from_json({"metric": "x", "tolerance": 0.1, "direction": "purple"})
