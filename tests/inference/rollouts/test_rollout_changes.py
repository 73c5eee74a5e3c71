"""What people may do with rollouts, what they may not, and the way back."""

from __future__ import annotations

import pytest

from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.registry.services import hold_version, retire_version
from inference.rollouts import rollout_services, services
from inference.rollouts.models import Rollout
from inference.rollouts.plans import Plan, checked_plan
from inference.rollouts.states import OPEN, ROLLOUT_STATES
from tests.inference.rollouts.rollouts import by, look
from tests.states import assert_complete, assert_step, every_step

pytestmark = pytest.mark.django_db

State = Rollout.State


def test_people_end_a_rollout_and_the_second_one_is_told(start, split, admin):
    for service, state in (("roll_back_rollout", "rolled_back"), ("cancel_rollout", "cancelled")):
        rollout = start()
        by(admin, service, rollout, reason="no", expected_state="running", expected_step=0)
        assert split() == {"1.0.0": 100}
        with pytest.raises(Conflict, match="moved on"):
            by(admin, "promote", rollout, expected_state="running")
        with pytest.raises(IllegalTransition):
            by(admin, "promote", rollout)
        assert look(rollout)[0].state == state
        assert split() == {"1.0.0": 100}


def test_while_a_rollout_is_open_the_split_is_its_own(start, endpoint, admin, split, org, versions):
    rollout = start()
    with tenant_context(org.id):
        with pytest.raises(Conflict, match="A rollout moves the traffic"):
            services.set_split(principal=admin, endpoint_id=endpoint.id, weights={"2.0.0": 100})
        with pytest.raises(Conflict, match="has a rollout already"):
            rollout_services.start_rollout(
                principal=admin, endpoint_id=endpoint.id, kind="canary", version="3.0.0"
            )
        by(admin, "promote", rollout)
    assert split() == {"1.0.0": 0, "2.0.0": 100}


def test_the_stable_version_of_an_open_rollout_is_not_retired(start, admin, versions, org):
    start(kind="blue_green", plan={})
    with tenant_context(org.id), pytest.raises(Conflict, match="may go back"):
        retire_version(principal=admin, version_id=versions["1.0.0"].id, reason="")


def test_one_click_back_ends_the_rollout_and_takes_all_its_steps_back(
    start, endpoint, admin, split, traffic, inside
):
    rollout = start()
    traffic("1.0.0", 1200)
    traffic("2.0.0", 800)
    rollout, _last = look(rollout)
    assert split()["2.0.0"] == 50
    with inside():
        last = services.last_change_in_force(endpoint)
    with tenant_context(admin.tenant_id):
        services.roll_back(principal=admin, endpoint_id=endpoint.id, reason="bad", expected_change_id=last.id)
    assert split() == {"1.0.0": 100}
    assert look(rollout)[0].state == "rolled_back"


def test_a_way_back_is_not_barred_by_a_version_that_had_no_traffic(
    admin, endpoint, versions, start, split, org
):
    with tenant_context(org.id):
        weights = {"1.0.0": 100, "3.0.0": 0}
        services.set_split(principal=admin, endpoint_id=endpoint.id, weights=weights)
    rollout = start()
    with tenant_context(org.id):
        hold_version(principal=admin, version_id=versions["3.0.0"].id, reason="report")
    by(admin, "roll_back_rollout", rollout, reason="no")
    assert split() == {"1.0.0": 100}


def test_what_cannot_be_started(admin, endpoint, org, other_org, principal_for, versions):
    def begin(principal=admin, version="2.0.0", kind="canary", plan=None):
        with tenant_context(principal.tenant_id):
            return rollout_services.start_rollout(
                principal=principal, endpoint_id=endpoint.id, kind=kind, version=version, plan=plan
            )

    with pytest.raises(InvalidInput, match="has all traffic already"):
        begin(version="1.0.0")
    with pytest.raises(InvalidInput, match="no version"):
        begin(version="9.9.9")
    with pytest.raises(InvalidInput, match="no such kind"):
        begin(kind="magic")
    with pytest.raises(AccessDenied):
        begin(principal_for(org, Role.DEVELOPER))
    with pytest.raises(NotFound):
        begin(principal_for(other_org, Role.TENANT_ADMIN))
    with tenant_context(org.id):
        retire_version(principal=admin, version_id=versions["2.0.0"].id, reason="")
        with pytest.raises(Conflict, match="only a ready version"):
            begin()
        services.set_split(principal=admin, endpoint_id=endpoint.id, weights={"1.0.0": 50, "3.0.0": 50})
    with pytest.raises(Conflict, match="divided"):
        begin(version="3.0.0")


def test_plans_that_are_refused():
    step, rail = {"percent": 5}, {"metric": "error_rate", "tolerance": 0.01}
    wrong = [
        ({"colour": 1}, "has no"),
        ({"steps": [step] * 21}, "1 to 20 steps"),
        ({"steps": [step, {"percent": 5}]}, "grow"),
        ({"steps": [{"percent": 100}]}, "grow"),
        ({"steps": [{"percent": 5.5}]}, "whole percents"),
        ({"steps": ["5"]}, "nothing else"),
        ({"steps": [step | {"min_s": 100, "max_s": 50}]}, "max_s"),
        ({"steps": [step | {"min_s": float("nan")}]}, "min_s"),
        ({"steps": [step | {"max_samples": 0}]}, "max_samples"),
        ({"guardrails": [rail, rail]}, "two guardrails"),
        ({"guardrails": [rail] * 11}, "1 to 10"),
        ({"guardrails": [{"metric": "beauty"}]}, "one of"),
        ({"guardrails": [rail | {"tolerance": -1}]}, "tolerance"),
        ({"guardrails": [rail | {"tolerance": 0}]}, "not possible"),
        ({"guardrails": [rail | {"method": "guess"}]}, "not possible"),
        ({"guardrails": [rail | {"colour": "red"}]}, "not possible"),
        ({"guardrails": [rail | {"evidence": "none"}]}, "needed for promotion"),
        ({"alpha": 0.9}, "alpha"),
        ({"alpha": True}, "alpha"),
        ({"baseline": "yesterday"}, "baseline"),
        ({"look_every_s": 0}, "look_every_s"),
    ]
    for plan, said in wrong:
        with pytest.raises(InvalidInput, match=said):
            checked_plan("canary", plan)
    with pytest.raises(InvalidInput, match="100 percent"):
        checked_plan("blue_green", {"steps": [step]})
    for kind in ("canary", "blue_green"):
        plan = checked_plan(kind, {})
        assert Plan.from_json(plan.to_json()) == plan


# --- The table and the rows ----------------------------------------------------------------------------------------

STEPS = {("running", "holding"), ("holding", "running")} | {
    (source, target) for source in OPEN for target in ("promoted", "rolled_back", "cancelled")
}


@pytest.mark.parametrize(("source", "target"), every_step(ROLLOUT_STATES))
def test_states(source, target):
    assert_step(ROLLOUT_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(ROLLOUT_STATES, State.values)
