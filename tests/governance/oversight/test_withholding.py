"""What a person must confirm is given afterwards, to whoever asked and may still ask, until it expires."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.access import facts
from governance.access.models import Application
from governance.access.principals import token_owner
from governance.access.services import create_application
from governance.audit.models import AuditEntry
from governance.data import erasers
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound, StepUpRequired, TooLarge
from governance.oversight import ruling, services, tasking, withholding
from governance.oversight.erasing import WITHHELD
from governance.oversight.models import OversightTask, Withheld
from governance.oversight.withholding import Content, Lapsed, Rejected, WaitsForAPerson
from governance.principals import Factor, Role
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import User
from tests.factories.governance import make_application

pytestmark = pytest.mark.django_db(transaction=True)
ENDPOINT = ObjectRef("rollouts.endpoint", "01a20bb7-0000-7000-8000-000000000001", label="credit")
SAID = {"purpose": "credit", "amount": 20_000}
ANSWER = Content(b'{"outputs":[{"name":"grant","data":[1]}]}', "application/json")


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
    return principal_for(org, Role.TENANT_ADMIN)


def keep(holder, content=ANSWER, number="request-1", **more) -> OversightTask:
    with acting(holder):
        return withholding.withhold(
            holder=holder,
            action="rollouts.endpoint.invoke",
            context=SAID | {"pool_region": "eu"},
            content=content,
            subject=ENDPOINT,
            tenant_id=holder.tenant_id,
            decision_id=number,
            **more,
        )


def fetch(principal, task) -> bytes:
    with acting(principal):
        return withholding.fetch(principal=principal, task_id=task.id).data


def say(principal, task, answer="confirm", reason="the income is proven") -> None:
    with acting(principal):
        tasking.decide_task(principal=principal, task_id=task.id, answer=answer, reason=reason)


def let_time_pass(task) -> None:
    with platform_scope(), transaction.atomic():
        Withheld.objects.filter(task=task).update(expires_at=timezone.now() - timedelta(seconds=1))


def content_of(task) -> bytes | None:
    with platform_scope(), transaction.atomic():
        kept = Withheld.objects.get(task=task).content
    return None if kept is None else bytes(kept)


def test_it_is_given_only_once_a_person_has_confirmed_it(developer, clerk):
    task = keep(developer)
    assert keep(developer).id == task.id
    assert (task.options, task.cause) == (["confirm", "reject"], "high_impact")
    assert task.facts == {"asked by": developer.label, "purpose": "credit", "amount": "20000"}
    with pytest.raises(WaitsForAPerson) as waiting:
        fetch(developer, task)
    assert (waiting.value.status, waiting.value.task_id) == (202, task.id)
    assert str(task.id) in str(waiting.value)
    say(clerk, task)
    assert fetch(developer, task) == ANSWER.data
    assert fetch(developer, task) == ANSWER.data, "as often as wanted, until it expires"
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(action="oversight.task.fetch").count() == 2


def test_who_asked_does_not_confirm_it(clerk, second):
    task = keep(clerk)
    with pytest.raises(AccessDenied, match="asked for this yourself"):
        say(clerk, task)
    with acting(clerk), pytest.raises(AccessDenied):
        withholding.look_at(principal=clerk, task_id=task.id)
    say(second, task)
    assert fetch(clerk, task) == ANSWER.data


def test_looking_at_a_restricted_answer_takes_a_fresh_factor_and_is_a_read(developer, second, monkeypatch):
    task = keep(developer)
    monkeypatch.setattr(facts, "_source", lambda _target, _tenant_id: {"label": "restricted"})
    hasty = replace(second, signals=replace(second.signals, factor=Factor.PASSWORD))
    with acting(hasty), pytest.raises(StepUpRequired, match="restricted"):
        withholding.look_at(principal=hasty, task_id=task.id)
    with acting(second):
        assert withholding.look_at(principal=second, task_id=task.id) == ANSWER
    with platform_scope(), transaction.atomic():
        (read,) = AuditEntry.objects.filter(action="data.asset.read", target_id=ENDPOINT.id)
    assert (read.details, read.actor_id) == (
        {"label": "restricted", "decision": "oversight.answer.look"},
        str(second.id),
    )


def test_who_owns_the_program_that_asked_does_not_confirm_it(org, clerk, second):
    application, _secret = make_application(org, scopes=["models:infer"])
    with platform_scope(), transaction.atomic():
        program = token_owner(application, None, roles=frozenset({Role.SERVICE}))
        assert program.accountable_user_id == application.service_user_id, "it acts for nobody but itself"
    task = keep(program)
    with platform_scope(), transaction.atomic():
        Application.objects.filter(pk=application.pk).update(user_id=clerk.user_id)
    with pytest.raises(AccessDenied, match="asked for this yourself"):
        say(clerk, task)
    with acting(clerk), pytest.raises(AccessDenied):
        withholding.look_at(principal=clerk, task_id=task.id)
    say(second, task)


def test_who_registered_a_program_that_nobody_owns_does_not_confirm_it(org, clerk, second, principal_for):
    registrar = principal_for(org, Role.TENANT_ADMIN)
    with acting(registrar):
        first = create_application(principal=registrar, name="first", scopes=["models:infer"]).application
    with platform_scope(), transaction.atomic():
        Application.objects.filter(pk=first.pk).update(user_id=None)
        first = Application.objects.get(pk=first.pk)
        program = token_owner(first, None, roles=frozenset({Role.TENANT_ADMIN}))
        program = replace(program, scopes=frozenset({"tenant:manage"}))
    # A program of that program, which nobody owns either.
    with acting(registrar):
        made = create_application(principal=program, name="second", scopes=["models:infer"]).application
    with platform_scope(), transaction.atomic():
        assert Application.objects.get(pk=made.pk).user_id == first.service_user_id
        programs = [token_owner(row, None, roles=frozenset({Role.SERVICE})) for row in (first, made)]
    tasks = [keep(asking, number=str(index)) for index, asking in enumerate(programs)]
    for task in tasks:
        with pytest.raises(AccessDenied, match="asked for this yourself"):
            say(registrar, task)
        say(second, task)


def test_what_the_model_is_not_sure_of_is_asked_with_the_rules_words(developer, clerk, second):
    values = {"target": ENDPOINT, "tenant_id": second.tenant_id, "output": "p", "due_minutes": 30}
    values |= {"question": "Is it a tumour?", "principal": second, "withhold": True}
    with acting(second):
        for fault, match in (
            ({"confidence_below": None, "options": ()}, "below which confidence"),
            ({"confidence_below": 0.8, "options": ("yes", "no")}, "confirmed or rejected"),
        ):
            with pytest.raises(InvalidInput, match=match):
                ruling.save_rule(**values, **fault)
        rule = ruling.save_rule(**values, confidence_below=0.8, options=())
        assert rule.withhold
    task = keep(developer, cause="low_confidence")
    assert (task.question, task.cause, task.options) == (
        "Is it a tumour?",
        "low_confidence",
        ["confirm", "reject"],
    )
    with pytest.raises(WaitsForAPerson):
        fetch(developer, task)
    say(clerk, task)
    assert fetch(developer, task) == ANSWER.data
    impact = keep(developer, number="request-9")
    assert impact.question == "May this answer be given?"


@pytest.mark.usefixtures("valkey")
def test_a_rule_that_withholds_over_rest_and_on_the_page(second):
    boss = Client()
    boss.force_login(User.objects.get(pk=second.user_id), backend="django.contrib.auth.backends.ModelBackend")
    rule = {"target_type": ENDPOINT.type, "target_id": ENDPOINT.id, "question": "Sure?", "withhold": True}
    send = {"path": "/api/v1/oversight-rules/", "content_type": "application/json"}
    assert boss.post(data=rule, **send).status_code == 400
    made = boss.post(data=rule | {"confidence_below": 0.7}, **send)
    assert made.json()["withhold"] is True
    page = boss.get(reverse("oversight-rules"), {"type": ENDPOINT.type, "id": ENDPOINT.id})
    assert "withheld until confirmed" in page.content.decode()
    assert page.context["form"]["withhold"].value() is True
    address = f"{reverse('oversight-rules')}?type={ENDPOINT.type}&id={ENDPOINT.id}"
    given = {"question": "Sure?", "options": "confirm\nreject", "confidence_below": "0.7", "due_minutes": "9"}
    assert boss.post(address, given).status_code == 302
    assert boss.get(send["path"]).json()["results"][0]["withhold"] is False


def test_a_rejection_says_why_and_an_appeal_may_turn_it(developer, clerk, second):
    task = keep(developer)
    say(clerk, task, "reject", "the income is not proven")
    with pytest.raises(Rejected, match="the income is not proven"):
        fetch(developer, task)
    with acting(developer):
        appeal = tasking.appeal(principal=developer, task_id=task.id, reason="the proof is attached now")
    with acting(second):
        assert withholding.look_at(principal=second, task_id=appeal.id) == ANSWER
    say(second, appeal)
    assert fetch(developer, task) == ANSWER.data


def test_it_is_nobody_elses(developer, clerk, second, principal_for, other_org):
    task = keep(developer)
    say(clerk, task)
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    for other in (clerk, second, stranger, replace(developer, kind="client")):
        with pytest.raises(NotFound):
            fetch(other, task)
    assert ANSWER.data not in content_of(task), "it is sealed"


def test_the_right_is_asked_for_again(developer, clerk, second):
    task = keep(developer)
    say(clerk, task)
    with pytest.raises(AccessDenied):
        fetch(replace(developer, roles=frozenset({Role.PARTNER})), task)
    with acting(second):
        services.press_stop(principal=second, scope="endpoint", target=ENDPOINT, reason="wrong answers")
    with pytest.raises(AccessDenied, match="wrong answers"):
        fetch(developer, task)


def test_what_nobody_confirms_lapses_and_is_refused(developer, clerk):
    task, confirmed = keep(developer), keep(developer, number="request-2")
    say(clerk, confirmed)
    assert withholding.lapse_withheld() == 0
    let_time_pass(task)
    let_time_pass(confirmed)
    with pytest.raises(Lapsed):
        fetch(developer, confirmed)
    assert withholding.lapse_withheld() == 2
    assert withholding.lapse_withheld() == 0
    assert content_of(task) is None
    assert content_of(confirmed) is None
    with platform_scope(), transaction.atomic():
        states = dict(OversightTask.objects.values_list("id", "state"))
    assert states == {task.id: "lapsed", confirmed.id: "decided"}
    with pytest.raises(Lapsed):
        fetch(developer, task)


def test_an_appeal_that_nobody_decides_lapses_as_well(developer, clerk):
    task = keep(developer)
    say(clerk, task, "reject", "the income is not proven")
    with acting(developer):
        appeal = tasking.appeal(principal=developer, task_id=task.id, reason="the proof is attached now")
    let_time_pass(task)
    assert withholding.lapse_withheld() == 1
    with platform_scope(), transaction.atomic():
        assert OversightTask.objects.get(pk=appeal.id).state == "lapsed"
    with pytest.raises(Rejected):
        fetch(developer, task)


def test_who_asked_withdraws_it_and_it_is_never_given(developer):
    task = keep(developer)
    with acting(developer):
        tasking.withdraw_task(principal=developer, task_id=task.id, reason="no longer needed")
    assert content_of(task) is None
    with pytest.raises(Lapsed):
        fetch(developer, task)


def test_an_erasure_of_all_that_is_kept_about_a_caller_takes_it_along(developer, clerk):
    task, other = keep(developer), keep(clerk, number="request-2")
    with acting(developer):
        found = [
            place for place in erasers.places_of(developer.id, developer.tenant_id) if place.type == WITHHELD
        ]
        assert [place.id for place in found] == [str(task.id)]
        assert erasers.erase(found[0], developer.tenant_id).outcome == "erased"
        assert erasers.erase(found[0], developer.tenant_id).outcome == "nothing"
    assert content_of(task) is None
    assert content_of(other) is not None
    with pytest.raises(Lapsed):
        fetch(developer, task)


def test_bounds(developer, monkeypatch):
    with pytest.raises(TooLarge, match="fewer rows"):
        keep(developer, Content(b" " * (withholding.MAX_BYTES + 1), "application/json"))
    monkeypatch.setattr(withholding, "MAX_WAITING", 1)
    keep(developer)
    with pytest.raises(Conflict, match="wait for a person"):
        keep(developer, number="request-2")


@given(data=st.binary(max_size=300), part=st.none() | st.integers(0, 300))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_answer_comes_back_as_it_was(developer, clerk, data, part):
    task = keep(
        developer, Content(data, "application/octet-stream", part), number=data.hex()[:40] + str(part)
    )
    if task.state == "open":
        say(clerk, task)
    with acting(developer):
        content = withholding.fetch(principal=developer, task_id=task.id)
    assert content == Content(data, "application/octet-stream", part)


@pytest.mark.usefixtures("valkey")
def test_over_rest_and_on_the_page(developer, clerk):
    def browser(principal):
        made = Client()
        made.force_login(
            User.objects.get(pk=principal.user_id), backend="django.contrib.auth.backends.ModelBackend"
        )
        return made

    hers, his = browser(developer), browser(clerk)
    task = keep(developer, Content(b'{"a":1}\x00\x01', "application/octet-stream", 7))
    mine, page = f"/api/v1/oversight-answers/{task.id}/", f"/console/oversight/{task.id}/"
    waiting = hers.get(mine)
    assert waiting.status_code == 202
    assert waiting.json()["type"] == "urn:openclaw:problem:waits-for-a-person"
    assert waiting.json()["errors"] == [{"pointer": "/oversight_task", "detail": str(task.id)}]
    shown = his.get(page).content.decode()
    assert "{&quot;a&quot;:1}" in shown
    assert "{&quot;a&quot;:1}" not in hers.get(page).content.decode()
    looked = his.get(f"/api/v1/oversight-tasks/{task.id}/withheld/")
    assert (looked.content, looked.headers["Inference-Header-Content-Length"]) == (b'{"a":1}\x00\x01', "7")
    assert hers.get(f"/api/v1/oversight-tasks/{task.id}/withheld/").status_code == 403
    his.post(page, {"what": "decide", "answer": "confirm", "reason": "as it should be"})
    given = hers.get(mine)
    assert (given.status_code, given.content) == (200, b'{"a":1}\x00\x01')
    assert his.get(mine).status_code == 404
    other = keep(developer, number="request-2")
    done = hers.post(
        f"/api/v1/oversight-tasks/{other.id}/withdraw/", {"reason": "enough"}, content_type="application/json"
    )
    assert done.json()["state"] == "withdrawn"
    assert hers.get(f"/api/v1/oversight-answers/{other.id}/").status_code == 410
