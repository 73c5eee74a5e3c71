"""A person decides in the machine's place, in time; the answer becomes a label; an appeal goes to somebody else."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.oversight import ruling, selectors, tasking
from governance.oversight.models import HumanLabel, OversightTask
from governance.oversight.states import TASK_STATES
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import User
from tests.states import assert_complete, assert_step, every_step

STEPS = {
    ("open", "claimed"),
    ("claimed", "open"),
    ("open", "decided"),
    ("claimed", "decided"),
    ("open", "withdrawn"),
    ("claimed", "withdrawn"),
    ("open", "lapsed"),
    ("claimed", "lapsed"),
}
pytestmark = pytest.mark.django_db(transaction=True)
ENDPOINT = ObjectRef("rollouts.endpoint", "01a20bb7-0000-7000-8000-000000000001", label="credit")


@pytest.mark.parametrize(("source", "target"), every_step(TASK_STATES))
def test_every_step(source, target):
    assert_step(TASK_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(TASK_STATES, OversightTask.State.values)


@contextmanager
def acting(principal):
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


@pytest.fixture
def developer(principal_for, org):
    return principal_for(org, Role.DEVELOPER)


@pytest.fixture
def clerk(principal_for, org):
    return principal_for(org, Role.DATA_SCIENTIST)


@pytest.fixture
def second(principal_for, org):
    return principal_for(org, Role.DATA_SCIENTIST)


def put(principal, **changes) -> OversightTask:
    given = {
        "subject": ENDPOINT,
        "cause": "high_impact",
        "tenant_id": principal.tenant_id,
        "question": "Grant the loan?",
        "options": ["grant", "refuse"],
        "proposed": "refuse",
        "decision_id": "request-1",
        "facts": {"amount": 20_000},
    } | changes
    with acting(principal):
        return tasking.open_task(principal=principal, **given)


def decide(principal, task, answer="grant", reason="the income was misread") -> OversightTask:
    with acting(principal):
        return tasking.decide_task(principal=principal, task_id=task.id, answer=answer, reason=reason)


def labels(principal) -> list[tuple[str, str]]:
    with acting(principal):
        return [(row.proposed, row.label) for row in selectors.labels(principal.tenant_id)]


def test_a_decision_stands_in_the_machines_place_and_becomes_a_label(developer, clerk):
    task = put(developer)
    assert put(developer).id == task.id, "one task per decision and cause"
    assert put(developer, cause="contested").id != task.id
    decided = decide(clerk, task)
    assert (decided.state, decided.answer) == ("decided", "grant")
    assert labels(clerk) == [("refuse", "grant")]
    with pytest.raises(IllegalTransition):
        decide(clerk, task)


def test_the_answer_is_one_of_those_possible_and_has_a_reason(developer, clerk):
    task = put(developer)
    with pytest.raises(InvalidInput, match="grant, refuse"):
        decide(clerk, task, answer="perhaps")
    with pytest.raises(InvalidInput, match="reason"):
        decide(clerk, task, reason=" ")
    with pytest.raises(AccessDenied):
        decide(developer, task)
    assert not labels(clerk)


def test_who_claims_it_has_it_until_it_is_given_back(developer, clerk, second):
    task = put(developer)
    with acting(clerk):
        tasking.claim_task(principal=clerk, task_id=task.id)
        tasking.claim_task(principal=clerk, task_id=task.id)
    with pytest.raises(Conflict, match="Somebody else"):
        decide(second, task)
    with acting(second), pytest.raises(IllegalTransition):
        tasking.claim_task(principal=second, task_id=task.id)
    with acting(clerk):
        tasking.return_task(principal=clerk, task_id=task.id)
    decide(second, task)


def test_an_appeal_goes_to_somebody_else_once_and_its_answer_replaces_the_label(developer, clerk, second):
    first = put(developer)
    with acting(developer), pytest.raises(Conflict):
        tasking.appeal(principal=developer, task_id=first.id, reason="nothing decided yet")
    decide(clerk, first, answer="refuse")
    with acting(developer):
        again = tasking.appeal(principal=developer, task_id=first.id, reason="the second income is missing")
        assert (
            tasking.appeal(principal=developer, task_id=first.id, reason="once more, please").id == again.id
        )
    assert again.facts["appeal"] == "the second income is missing"
    with pytest.raises(Conflict, match="somebody else"):
        decide(clerk, again)
    decide(second, again, answer="grant")
    assert labels(clerk) == [("refuse", "grant")]
    with acting(developer), pytest.raises(Conflict):
        tasking.appeal(principal=developer, task_id=again.id, reason="an appeal against the appeal")


def test_what_is_late_is_escalated_once(developer):
    put(developer, due_in=timedelta(seconds=-1))
    put(developer, decision_id="request-2")
    assert tasking.escalate_overdue() == 1
    assert tasking.escalate_overdue() == 0
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(action="oversight.task.escalate").count() == 1


def test_what_is_escalated_is_taken_from_who_sat_on_it_and_told_to_those_in_charge(
    developer, clerk, second, principal_for, org, valkey
):
    task = put(developer, due_in=timedelta(minutes=1))
    with acting(clerk):
        tasking.claim_task(principal=clerk, task_id=task.id)
    with platform_scope(), transaction.atomic():
        OversightTask.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    admin = principal_for(org, Role.TENANT_ADMIN)
    bar = "not taken by a person in time"

    def page(principal):
        browser = Client()
        browser.force_login(
            User.objects.get(pk=principal.user_id), backend="django.contrib.auth.backends.ModelBackend"
        )
        return browser.get("/console/oversight/").content.decode()

    assert bar not in page(admin)
    assert tasking.escalate_overdue() == 1
    shown = page(admin)
    assert bar in shown
    assert "escalated" in shown
    assert bar not in page(clerk)
    decide(second, task)
    assert bar not in page(admin)


def test_a_rule_says_what_is_asked_and_when(principal_for, org, developer):
    admin = principal_for(org, Role.TENANT_ADMIN)
    given = {
        "target": ENDPOINT,
        "tenant_id": org.id,
        "question": "Is this a tumour?",
        "options": ["benign", "malignant"],
        "confidence_below": 0.8,
        "output": "probabilities",
        "due_minutes": 30,
    }
    with acting(admin):
        ruling.save_rule(principal=admin, **given)
        for wrong in ({"confidence_below": 1.2}, {"due_minutes": 0}, {"question": ""}, {"options": ["only"]}):
            with pytest.raises(InvalidInput):
                ruling.save_rule(principal=admin, **(given | wrong))
    task = put(developer, question="", options=())
    assert (task.question, task.options) == ("Is this a tumour?", ["benign", "malignant"])
    assert task.due_at < timezone.now() + timedelta(minutes=31)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cause": "appeal"},
        {"cause": "boredom"},
        {"options": ["only one"]},
        {"facts": {str(n): n for n in range(51)}},
    ],
)
def test_what_is_no_task(developer, wrong):
    with pytest.raises(InvalidInput):
        put(developer, **wrong)


def test_a_full_queue_refuses_more(developer, monkeypatch):
    monkeypatch.setattr(tasking, "MAX_OPEN", 1)
    put(developer)
    with pytest.raises(Conflict, match="wait for a person"):
        put(developer, decision_id="request-2")


def test_another_tenant_sees_and_decides_nothing(developer, other_org, principal_for):
    stranger = principal_for(other_org, Role.DATA_SCIENTIST)
    task = put(developer)
    with pytest.raises(NotFound):
        decide(stranger, task)
    with acting(stranger):
        assert not selectors.queue().exists()
        assert not HumanLabel.objects.exists()
    with pytest.raises(AccessDenied):
        put(replace(developer, roles=frozenset({Role.PARTNER})))


@pytest.mark.usefixtures("valkey")
def test_the_pages_and_the_api(developer, clerk):
    def browser(principal):
        made = Client()
        made.force_login(
            User.objects.get(pk=principal.user_id), backend="django.contrib.auth.backends.ModelBackend"
        )
        return made

    hers, his = browser(developer), browser(clerk)
    made = hers.post(
        "/api/v1/oversight-tasks/",
        {
            "subject_type": ENDPOINT.type,
            "subject_id": ENDPOINT.id,
            "cause": "contested",
            "question": "Grant the loan?",
            "options": ["grant", "refuse"],
            "decision_id": "request-9",
        },
        content_type="application/json",
    )
    assert made.status_code == 201
    address = f"/console/oversight/{made.json()['id']}/"
    assert "Grant the loan?" in his.get("/console/oversight/").content.decode()
    his.post(address, {"what": "claim"})
    assert "I look at it" not in his.get(address).content.decode()
    his.post(address, {"what": "decide", "answer": "refuse", "reason": "no income"})
    page = hers.get(address).content.decode()
    assert "no income" in page
    appealed = hers.post(address, {"what": "appeal", "reason": "there is an income"}, follow=True)
    assert "there is an income" in appealed.content.decode()
    assert his.post(address, {"what": "dance"}).status_code == 400
    rows = his.get("/api/v1/human-labels/?in_force=true").json()["results"]
    assert [row["label"] for row in rows] == ["refuse"]


@pytest.mark.usefixtures("valkey")
def test_a_rule_is_set_and_removed_on_the_page_and_over_rest(org, principal_for, developer):
    admin = principal_for(org, Role.TENANT_ADMIN)
    browser, other = Client(), Client()
    for client, who in ((browser, admin), (other, developer)):
        client.force_login(
            User.objects.get(pk=who.user_id), backend="django.contrib.auth.backends.ModelBackend"
        )
    address = f"/console/oversight/rules/?type={ENDPOINT.type}&id={ENDPOINT.id}&label=credit"
    given = {"question": "Grant it?", "options": "yes\nno", "confidence_below": "0.8", "due_minutes": "30"}
    assert other.post(address, given).status_code == 403
    assert "Grant it?" in browser.post(address, given, follow=True).content.decode()
    assert "errorlist" in browser.post(address, given | {"confidence_below": "7"}).content.decode()
    query = address.partition("?")[2]
    contested = other.post(
        f"/console/oversight/contest/?{query}",
        {"decision": "request-5", "reason": "it read the wrong income"},
        follow=True,
    ).content.decode()
    assert "it read the wrong income" in contested
    assert "somebody else must decide" in contested
    assert "Number of the decision" in other.get(address).content.decode()
    assert (
        other.post(f"/console/oversight/contest/?{query}", {"decision": "5", "reason": "no"}).status_code
        == 400
    )
    assert other.post("/console/oversight/contest/", {"decision": "5"}).status_code == 400
    row = browser.get("/api/v1/oversight-rules/").json()["results"][0]
    assert (row["question"], row["options"], row["confidence_below"]) == ("Grant it?", ["yes", "no"], 0.8)
    body = {
        "target_type": ENDPOINT.type,
        "target_id": ENDPOINT.id,
        "question": "Really?",
        "confidence_below": 0.5,
    }
    set_ = browser.post("/api/v1/oversight-rules/", body, content_type="application/json").json()
    assert (set_["id"], set_["question"]) == (row["id"], "Really?")
    wrong = browser.post(
        "/api/v1/oversight-rules/",
        body | {"target_type": "library.skill"},
        content_type="application/json",
    )
    assert wrong.status_code == 400
    assert other.delete(f"/api/v1/oversight-rules/{row['id']}/").status_code == 403
    assert browser.delete(f"/api/v1/oversight-rules/{row['id']}/").status_code == 204
    assert browser.post("/console/oversight/rules/", given).status_code == 400


def test_nobody_decides_a_matter_of_their_own(clerk, second, principal_for, org):
    own = put(clerk, cause="contested")
    with pytest.raises(AccessDenied, match="asked for this yourself"):
        decide(clerk, own)
    with acting(clerk), pytest.raises(AccessDenied):
        tasking.claim_task(principal=clerk, task_id=own.id)
    decide(second, own, answer="refuse")
    with acting(clerk):
        appeal = tasking.appeal(principal=clerk, task_id=own.id, reason="I contested it for a reason")
    for person in (clerk, second):
        with pytest.raises((AccessDenied, Conflict)):
            decide(person, appeal)
    # Neither does who asked at first decide an appeal that somebody else brought.
    other = put(clerk, cause="contested", decision_id="request-3")
    decide(second, other, answer="refuse")
    third = principal_for(org, Role.DEVELOPER)
    with acting(third):
        appeal = tasking.appeal(principal=third, task_id=other.id, reason="it should have been granted")
    with pytest.raises(AccessDenied, match="asked for this yourself"):
        decide(clerk, appeal)
    decide(principal_for(org, Role.TENANT_ADMIN), appeal)


def test_the_database_holds_that_somebody_else_decides(clerk):
    own = put(clerk, cause="contested")
    with pytest.raises(IntegrityError), acting(clerk):
        OversightTask.objects.filter(pk=own.id).update(decided_by_id=clerk.accountable_user_id)


def test_two_who_open_the_same_task_at_once_get_one(developer, monkeypatch):
    both, opened, queue = Barrier(2), [], selectors.queue

    def looked_and_found_none(tenant_id):
        both.wait(10)
        return queue(tenant_id)

    def open_it():
        try:
            opened.append(put(developer).id)
        finally:
            connection.close()

    monkeypatch.setattr(selectors, "queue", looked_and_found_none)
    threads = [Thread(target=open_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 2
    assert len(set(opened)) == 1


def test_what_one_opened_oneself_is_withdrawn_and_nothing_else(developer, clerk):
    task = put(developer)
    with acting(clerk), pytest.raises((NotFound, AccessDenied)):
        tasking.withdraw_task(principal=clerk, task_id=task.id, reason="no more use")
    with acting(developer):
        done = tasking.withdraw_task(principal=developer, task_id=task.id, reason="no more use")
        assert done.state == "withdrawn"
    unsure = put(developer, decision_id="request-2")
    with platform_scope(), transaction.atomic():
        OversightTask.objects.filter(pk=unsure.id).update(opened_by=None)
    with acting(developer), pytest.raises(NotFound):
        tasking.withdraw_task(principal=developer, task_id=unsure.id, reason="I do not like it")
