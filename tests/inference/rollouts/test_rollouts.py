"""Rollouts on real rows: judged by what was recorded, safe however often and late the controller comes."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection

from governance.audit.models import AuditEntry
from governance.errors import Conflict
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.registry.models import ModelVersion
from inference.registry.services import hold_version
from inference.rollouts import controller, rollout_services, services
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Rollout, RolloutLook, SplitChange
from tests.governance.ethics import steps
from tests.inference.rollouts.rollouts import PLAN, age, by, look

pytestmark = pytest.mark.django_db

State = Rollout.State


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
