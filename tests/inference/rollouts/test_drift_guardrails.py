"""Guardrails on the distribution of predictions, on real rows: bins before the step, counts after, a roll-back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from governance.errors import InvalidInput
from governance.tenants.context import tenant_context
from inference.rollouts import rollout_services
from inference.rollouts.distributions import counts_by_bin, prediction_bins
from inference.rollouts.lifecycle import database_time
from inference.rollouts.plans import Plan, checked_plan
from inference.rollouts.spans import Span
from inference.rollouts.windows import arm_windows
from tests.inference.rollouts.rollouts import look

pytestmark = pytest.mark.django_db

PLAN = {
    "steps": [{"percent": 20, "min_s": 10, "max_s": 3600}],
    "guardrails": [
        {"metric": "error_rate", "tolerance": 0.05, "min_samples": 50},
        {"metric": "drift_prediction", "min_samples": 100},
        {"metric": "drift_confidence", "tolerance": 0.2, "min_samples": 100},
    ],
    "look_every_s": 1,
}
USUAL = {"cat": 0.6, "dog": 0.3, "owl": 0.1}


@pytest.fixture
def predictions(traffic):
    """`predictions("2.0.0", 400, {"cat": 0.5, …})`: answers that say these classes in these shares."""

    def write(version, count, shares=USUAL, *, confidence=0.0, **more):
        for label, share in shares.items():
            for tenth in range(5):
                sure = 0.5 + 0.1 * tenth + confidence
                traffic(version, round(count * share / 5), predicted=label, confidence=sure, **more)

    return write


@pytest.fixture
def start(admin, endpoint, predictions):
    def begin(plan=PLAN, **more):
        predictions("1.0.0", 300, at=database_time() - timedelta(minutes=5))
        with tenant_context(admin.tenant_id):
            return rollout_services.start_rollout(
                principal=admin, endpoint_id=endpoint.id, kind="canary", version="2.0.0", plan=plan, **more
            )

    return begin


def outcomes(last):
    return {check["name"]: check["outcome"] for check in last.judgement["checks"]}


def test_predictions_as_before_do_not_keep_a_version_back(start, predictions, split):
    rollout = start()
    predictions("1.0.0", 1200)
    predictions("2.0.0", 800)
    rollout, last = look(rollout)
    assert rollout.state == "promoted"
    assert set(outcomes(last).values()) == {"no_harm"}
    assert split()["2.0.0"] == 100


def test_other_classes_roll_a_version_back_and_its_page_says_why(start, predictions, split):
    rollout = start()
    predictions("1.0.0", 600)
    predictions("2.0.0", 300, {"cat": 0.2, "dog": 0.2, "yeti": 0.6})
    rollout, last = look(rollout, seconds=5)
    assert (rollout.state, last.action) == ("rolled_back", "roll_back")
    assert last.reason == "The canary does harm: predicted classes."
    found = outcomes(last)
    assert (found["drift_prediction"], found["drift_confidence"]) == ("harm", "no_harm")
    assert split() == {"1.0.0": 100}
    assert rollout.memory["bins"]["drift_prediction"] == ["cat", "dog", "owl"]


def test_another_confidence_rolls_back_too(start, predictions):
    rollout = start()
    predictions("1.0.0", 600)
    predictions("2.0.0", 300, confidence=-0.4)
    rollout, last = look(rollout, seconds=5)
    assert last.reason == "The canary does harm: confidence of the predictions."


def test_without_classes_before_the_step_nothing_is_compared_unless_promotion_waits_for_it(
    start, predictions, traffic, admin, endpoint
):
    traffic("1.0.0", 300, at=database_time() - timedelta(minutes=5))
    asked = [PLAN["guardrails"][0], {"metric": "drift_prediction", "evidence": "samples", "min_samples": 100}]
    with tenant_context(admin.tenant_id):
        rollout = rollout_services.start_rollout(
            principal=admin,
            endpoint_id=endpoint.id,
            kind="canary",
            version="2.0.0",
            plan=PLAN | {"guardrails": asked},
        )
    rollout, last = look(rollout, seconds=5)
    assert (last.verdict, "thresholds" in rollout.memory) == ("hold", False)
    predictions("1.0.0", 300)
    began = rollout.step_started_at
    rollout, last = look(rollout, seconds=5)
    assert rollout.memory["bins"] == {"drift_prediction": ["cat", "dog", "owl"]}
    assert rollout.step_started_at > began, "the step begins anew where its bins are fixed"


def test_counts_are_of_the_split_in_the_bins_of_before(endpoint, versions, traffic, inside):
    def at(minutes):
        return database_time() - timedelta(minutes=minutes)

    ids = [versions[number].id for number in ("1.0.0", "2.0.0")]
    traffic("1.0.0", 30, predicted="a", confidence=1.0, at=at(10))
    traffic("1.0.0", 10, predicted="b", confidence=0.5, at=at(10))
    before, after = Span(endpoint.id, at(20), at(5)), Span(endpoint.id, at(5), at(0))
    names = ["drift_prediction", "drift_confidence"]
    with inside():
        bins = prediction_bins(before, ids[0], names, at_least=40)
        assert bins == {"drift_prediction": ["a", "b"], "drift_confidence": [1.0]}
        assert prediction_bins(before, ids[0], names, at_least=41) == {}
        assert prediction_bins(before, ids[0], ["drift_confidence"], at_least=1) == {
            "drift_confidence": [1.0]
        }
    traffic("1.0.0", 4, predicted="a", confidence=1.0, at=at(2))
    traffic("2.0.0", 3, predicted="new", confidence=0.2, at=at(2))
    traffic("2.0.0", 2, predicted="b", confidence=1.0, at=at(2))
    for odd in ({"chosen": "named"}, {"errors": 1.0}, {"chosen": "shadow"}):
        traffic("2.0.0", 5, predicted="a", confidence=0.1, at=at(2), **odd)
    traffic("2.0.0", 5, at=at(2))
    with inside():
        found = arm_windows(after, ids, thresholds={}, feedback=False, bins=bins)
        assert found[ids[0]].shapes == {"drift_prediction": (4, 0, 0), "drift_confidence": (0, 4)}
        assert found[ids[1]].shapes == {"drift_prediction": (0, 2, 3), "drift_confidence": (3, 2)}
        half = {"endpoint": endpoint.id, "since": after.since, "until": after.until, "versions": ids}
        none = counts_by_bin("drift_prediction", ["a"], half | {"thinned": ids[0], "keep": 0})
        assert none[ids[0]] == (0, 0)


def test_plans_with_such_guardrails(admin):
    plan = Plan.from_json(checked_plan("canary", PLAN).to_json())
    shapes = {g.metric: (g.tolerance, g.evidence, g.min_samples) for g in plan.guardrails[1:]}
    assert shapes == {"drift_prediction": (0.25, "none", 100), "drift_confidence": (0.2, "none", 100)}
    for change, said in (
        ({"evidence": "no_harm"}, "rules harm out"),
        ({"method": "fixed-horizon"}, "every look"),
        ({"tolerance": 0}, "positive effect"),
    ):
        with pytest.raises(InvalidInput, match=said):
            checked_plan(
                "canary", {"guardrails": [PLAN["guardrails"][0], {"metric": "drift_prediction"} | change]}
            )
    with pytest.raises(InvalidInput, match="needed for promotion"):
        checked_plan("canary", {"guardrails": [{"metric": "drift_prediction"}]})
