"""The guardrail on drift from the training data, on real rows: refused without a reference, harm and no harm."""

from __future__ import annotations

import pytest

from governance.errors import InvalidInput
from governance.ids import uuid7
from governance.tenants.context import tenant_context
from inference.registry.models import TrainingReference
from inference.rollouts import rollout_services
from inference.rollouts.plans import Plan, checked_plan
from tests.inference.rollouts.rollouts import age, look
from tests.inference.rollouts.trained import answers, normal

pytestmark = pytest.mark.django_db

PLAN = {
    "steps": [{"percent": 20, "min_s": 10, "max_s": 3600}],
    "guardrails": [
        {"metric": "error_rate", "tolerance": 0.05, "min_samples": 50},
        {"metric": "drift_reference", "min_samples": 200},
    ],
    "look_every_s": 1,
}


@pytest.fixture
def begun(start, reference, traffic):
    """A canary of 2.0.0, which was trained on normal rows, in a step that began some minutes ago."""
    known = reference("2.0.0")
    rollout = start(plan=PLAN)
    age(rollout, seconds=300)
    traffic("1.0.0", 600)
    return rollout, known


def check_of(last):
    return next(check for check in last.judgement["checks"] if check["name"] == "drift_reference")


def test_inputs_as_in_training_keep_no_version_back(begun, inputs, said, split):
    rollout, known = begun
    inputs(known, normal(600, seed=2))
    said("2.0.0", answers(400, seed=2))
    rollout, last = look(rollout)
    assert (rollout.state, check_of(last)["outcome"]) == ("promoted", "no_harm")
    assert check_of(last)["method"] == "always-valid"
    assert split()["2.0.0"] == 100


def test_shifted_inputs_roll_back_and_the_reason_names_the_feature(begun, inputs, said, split):
    rollout, known = begun
    shifted = normal(600, seed=3)
    shifted[:, 1] += 2
    inputs(known, shifted)
    said("2.0.0", answers(300, seed=3))
    rollout, last = look(rollout, seconds=5)
    assert (rollout.state, split()) == ("rolled_back", {"1.0.0": 100})
    assert last.reason == "The canary does harm: drift from the training data (x[1])."
    assert (check_of(last)["part"], check_of(last)["outcome"]) == ("x[1]", "harm")


def test_other_predictions_than_in_training_roll_back_too(begun, inputs, said):
    rollout, known = begun
    inputs(known, normal(600, seed=4))
    said("2.0.0", answers(400, {"cat": 0.1, "yeti": 0.9}, seed=4))
    rollout, last = look(rollout, seconds=5)
    assert last.reason == "The canary does harm: drift from the training data (predicted classes)."


def test_a_step_whose_reference_was_replaced_compares_nothing_any_more(begun, inputs, said, inside):
    rollout, known = begun
    inputs(known, normal(50))
    said("2.0.0", answers(5))
    rollout, _last = look(rollout, seconds=1)
    assert rollout.memory["reference"] == str(known.revision)
    with inside():
        known.revision = uuid7()
        known.save()
    inputs(known, normal(600, mean=5))
    rollout, last = look(rollout, seconds=5)
    assert check_of(last)["outcome"] == "too_few"
    with inside():
        TrainingReference.objects.all().delete()
    _rollout, last = look(rollout, seconds=5)
    assert check_of(last)["outcome"] == "too_few"


def test_without_a_reference_such_a_plan_is_refused(admin, endpoint, versions, reference, inside):
    reference("1.0.0")
    with (
        tenant_context(admin.tenant_id),
        pytest.raises(InvalidInput, match="no training reference") as refused,
    ):
        rollout_services.start_rollout(
            principal=admin, endpoint_id=endpoint.id, kind="canary", version="2.0.0", plan=PLAN
        )
    assert "batch job" in refused.value.hint


def test_plans_and_what_they_may_say(versions):
    plan = Plan.from_json(checked_plan("canary", PLAN).to_json())
    guardrail = plan.of_reference
    assert guardrail is not None
    assert (guardrail.tolerance, guardrail.evidence, plan.shapes) == (0.25, "none", [])
    assert [one.metric for one in plan.compared] == ["error_rate"]
    for change, told in (
        ({"evidence": "no_harm"}, "rules harm out"),
        ({"method": "fixed-horizon"}, "every look"),
    ):
        with pytest.raises(InvalidInput, match=told):
            checked_plan(
                "canary", {"guardrails": [PLAN["guardrails"][0], {"metric": "drift_reference"} | change]}
            )
