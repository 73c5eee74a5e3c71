"""Rollouts on real rows: judged by what was recorded, safe whoever comes and however often, reversible."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.models import ModelVersion
from inference.registry.services import hold_version, retire_version
from inference.rollouts import controller, rollout_services, services
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Rollout, RolloutLook, SplitChange
from inference.rollouts.plans import Plan, checked_plan
from inference.rollouts.states import OPEN, ROLLOUT_STATES
from tests.governance.ethics import steps
from tests.states import assert_complete, assert_step, every_step

pytestmark = pytest.mark.django_db

State = Rollout.State
PLAN = {
    "steps": [{"percent": 20, "min_s": 10, "max_s": 3600}, {"percent": 50, "min_s": 10, "max_s": 3600}],
    "guardrails": [
        {"metric": "error_rate", "tolerance": 0.05, "min_samples": 50},
        {"metric": "p99", "tolerance": 0.05, "min_samples": 50},
    ],
    "look_every_s": 1,
}


@pytest.fixture
def start(admin, endpoint, traffic):
    """Start a canary of 2.0.0; the stable version has answered before, so that its latency is known."""

    def begin(kind="canary", version="2.0.0", plan=PLAN, **more):
        traffic("1.0.0", 200, at=database_time() - timedelta(minutes=5))
        with tenant_context(admin.tenant_id):
            return rollout_services.start_rollout(
                principal=admin, endpoint_id=endpoint.id, kind=kind, version=version, plan=plan, **more
            )

    return begin


def age(rollout, seconds=30):
    """As if the step had begun so much earlier and the next look were due."""
    with platform_scope(), transaction.atomic():
        back = timedelta(seconds=seconds)
        Rollout.objects.filter(pk=rollout.pk).update(
            step_started_at=F("step_started_at") - back, looked_at=None
        )


def look(rollout, seconds=30):
    """Time passes, and the controller comes by; the rollout as it is then, and the newest look."""
    age(rollout, seconds)
    controller.control_rollouts()
    with platform_scope(), transaction.atomic():
        return Rollout.objects.get(pk=rollout.pk), RolloutLook.objects.filter(rollout=rollout).first()


def by(admin, service, rollout, **more):
    with tenant_context(admin.tenant_id):
        return getattr(rollout_services, service)(principal=admin, rollout_id=rollout.id, **more)


def test_a_version_that_does_no_harm_is_promoted_step_by_step(start, traffic, split, inside, admin, endpoint):
    rollout = start(reason="faster model")
    assert split() == {"1.0.0": 80, "2.0.0": 20}
    seen = []
    for _step in range(2):
        traffic("1.0.0", 1200, errors=0.002)
        traffic("2.0.0", 800, errors=0.002)
        rollout, last = look(rollout)
        seen.append((last.verdict, last.action, rollout.state, split()["2.0.0"]))
    assert seen == [("promote", "advance", "running", 50), ("promote", "promote", "promoted", 100)]
    with inside():
        assert [change.after["2.0.0"] for change in SplitChange.objects.filter(rollout=rollout).order_by("id")] == [
            20, 50, 100,
        ]  # fmt: skip
        actions = AuditEntry.objects.filter(action__startswith="rollouts.rollout").order_by("sequence")
        assert [(entry.action, entry.actor_kind) for entry in actions] == [
            ("rollouts.rollout.start", "user"),
            ("rollouts.rollout.advance", "system"),
            ("rollouts.rollout.promote", "system"),
        ]
    with tenant_context(admin.tenant_id):
        services.roll_back(principal=admin, endpoint_id=endpoint.id, reason="after all not")
        assert split() == {"1.0.0": 100}
        with pytest.raises(Conflict, match="no earlier split"):
            services.roll_back(principal=admin, endpoint_id=endpoint.id, reason="once more")


@pytest.mark.parametrize("fault", [{"errors": 0.3}, {"slow": 0.4}], ids=str)
def test_a_version_that_does_harm_is_rolled_back_at_the_next_look(start, traffic, split, inside, fault):
    rollout = start()
    traffic("1.0.0", 400)
    traffic("2.0.0", 100, **fault)
    rollout, last = look(rollout, seconds=5)
    assert (rollout.state, last.verdict, last.action) == ("rolled_back", "roll_back", "roll_back")
    assert split() == {"1.0.0": 100}
    assert "does harm" in last.reason
    harmed = [check["name"] for check in last.judgement["checks"] if check["outcome"] == "harm"]
    assert harmed == ["error_rate" if "errors" in fault else "p99"]
    assert last.judgement["arms"][1]["requests"] == 100
    with inside():
        assert services.last_change_in_force(rollout.endpoint) is None


def test_without_enough_evidence_it_holds_and_at_the_end_a_person_is_asked(start, traffic, split, admin):
    rollout = start()
    traffic("1.0.0", 40)
    traffic("2.0.0", 10)
    rollout, last = look(rollout)
    assert (rollout.state, last.verdict, last.action) == ("running", "hold", "none")
    rollout, again = look(rollout)
    assert again.number == last.number == 1, "a look at which nothing changed is kept once a minute"
    rollout, last = look(rollout, seconds=4000)
    assert (rollout.state, last.verdict, last.action) == ("holding", "inconclusive", "ask")
    assert split()["2.0.0"] == 20
    assert look(rollout)[1].number == last.number, "nobody looks while a person is asked"
    resumed = by(admin, "resume", rollout, expected_state="holding", expected_step=0)
    assert resumed.state == "running"
    assert look(rollout, seconds=0)[1].verdict == "hold"
    assert by(admin, "promote", rollout, reason="I know better").state == "promoted"
    assert split() == {"1.0.0": 0, "2.0.0": 100}


def test_a_version_that_cannot_be_loaded_is_rolled_back_because_it_answers_nothing(start, traffic, split):
    rollout = start()
    traffic("1.0.0", 60)
    rollout, last = look(rollout, seconds=61)
    assert rollout.state == "rolled_back"
    assert "answers nothing" in last.reason
    assert split() == {"1.0.0": 100}


def test_blue_green_switches_at_once_and_back_at_once(start, traffic, split):
    plan = {"steps": [{"percent": 100, "min_s": 10, "max_s": 3600}], "guardrails": PLAN["guardrails"]}
    rollout = start(kind="blue_green", plan=plan)
    assert split() == {"1.0.0": 0, "2.0.0": 100}
    traffic("2.0.0", 200, errors=0.3)
    rollout, _last = look(rollout)
    assert rollout.state == "rolled_back"
    assert split() == {"1.0.0": 100}
    traffic("1.0.0", 1000, at=database_time() - timedelta(minutes=4))
    again = start(kind="blue_green", version="3.0.0", plan=plan)
    traffic("3.0.0", 1000)
    again, last = look(again)
    assert (again.state, last.action) == ("promoted", "promote")


def test_a_switched_version_that_never_answers_is_taken_back(start, traffic, split):
    rollout = start(kind="blue_green", plan={"guardrails": PLAN["guardrails"]})
    traffic("1.0.0", 5, chosen="stand_in")
    rollout, _last = look(rollout, seconds=70)
    assert (rollout.state, split()) == ("rolled_back", {"1.0.0": 100})


def test_what_a_rule_or_the_caller_chose_is_no_evidence(start, traffic):
    rollout = start()
    traffic("1.0.0", 400)
    for chosen in ("rule", "named", "shadow"):
        traffic("2.0.0", 100, errors=1.0, chosen=chosen)
    traffic("2.0.0", 100)
    rollout, last = look(rollout)
    assert rollout.state == "running"
    assert last.judgement["arms"][1] == {"requests": 100, "errors": 0, "answered": 100}


def test_a_version_that_is_held_or_unapproved_is_rolled_back(start, split, admin, versions, org):
    rollout = start()
    with tenant_context(org.id):
        hold_version(principal=admin, version_id=versions["2.0.0"].id, reason="abuse report")
    rollout, last = look(rollout)
    assert (rollout.state, split()) == ("rolled_back", {"1.0.0": 100})
    assert "may not answer" in last.reason
    rollout = start(version="3.0.0")
    with tenant_context(org.id):
        steps.bind(org.id, ObjectRef.of(versions["3.0.0"], digest=versions["3.0.0"].sha256))
    rollout, last = look(rollout)
    assert rollout.state == "rolled_back"
    assert "no valid approval" in last.reason


def test_a_step_that_may_not_be_taken_is_left_to_a_person(start, traffic, split, monkeypatch):
    rollout = start()
    traffic("1.0.0", 1200)
    traffic("2.0.0", 800)

    def refuse(**_arguments):
        raise Conflict("an approval caps the share at 20 percent")

    monkeypatch.setattr(controller, "advance", refuse)
    rollout, last = look(rollout)
    assert (rollout.state, last.action, split()["2.0.0"]) == ("holding", "ask", 20)
    assert "caps the share" in rollout.ended_reason


def test_thresholds_come_from_before_the_step_or_the_step_begins_anew(admin, endpoint, traffic, inside):
    with tenant_context(admin.tenant_id):
        rollout = rollout_services.start_rollout(
            principal=admin, endpoint_id=endpoint.id, kind="canary", version="2.0.0", plan=PLAN
        )
    traffic("1.0.0", 20)
    traffic("2.0.0", 5)
    rollout, last = look(rollout)
    assert "Too few answers" in last.reason
    traffic("1.0.0", 200)
    before = rollout.step_started_at
    rollout, _last = look(rollout)
    assert rollout.step_started_at > before
    assert 1_000 < rollout.memory["thresholds"]["p99"] <= 1_200


def test_a_clock_that_was_set_back_and_missed_looks_change_nothing(start, traffic, inside):
    rollout = start()
    with inside():
        future = database_time() + timedelta(hours=2)
        Rollout.objects.filter(pk=rollout.pk).update(looked_at=future, step_started_at=future)
    assert controller.control_rollouts() == 0
    with inside():
        Rollout.objects.filter(pk=rollout.pk).update(looked_at=None, step_started_at=database_time())
    traffic("1.0.0", 1200)
    traffic("2.0.0", 800)
    rollout, last = look(rollout, seconds=200)
    assert (rollout.step, last.number) == (1, 1), "one look takes one step, however long ago the last one was"


# --- People --------------------------------------------------------------------------------------------------------


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


def test_looks_cannot_be_rewritten(start, traffic, inside):
    rollout = start()
    traffic("1.0.0", 40)
    look(rollout)
    for change in (lambda rows: rows.update(reason="x"), lambda rows: rows.delete()):
        with pytest.raises(DatabaseError, match="append-only"), inside():
            change(RolloutLook.objects.all())


@pytest.mark.django_db(transaction=True)
def test_two_controllers_at_once_make_one_look(start, traffic, inside):
    rollout = start()
    traffic("1.0.0", 1200)
    traffic("2.0.0", 800)
    age(rollout)
    looked = []

    def work():
        looked.append(controller.control_rollouts())
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(looked) == 1
    with inside():
        assert RolloutLook.objects.count() == 1
        assert Rollout.objects.get().step == 1
        assert SplitChange.objects.filter(rollout=rollout).count() == 2
        assert ModelVersion.objects.count() == 3
