"""What a text would have decided: recorded questions asked again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from governance.access import facts
from governance.access.cedar.engine import PolicyBook
from governance.access.decisions import decide, require
from governance.access.recorder import recorder
from governance.errors import AccessDenied, InvalidInput
from governance.policies import what_if as module
from governance.policies.what_if import what_if
from governance.principals import Role
from governance.refs import ObjectRef
from tests.factories.policies import NO_BATCH, acting, enact_policies

pytestmark = [pytest.mark.django_db(transaction=True)]


def report(principal, text, **more):
    recorder.flush()
    with acting(principal):
        return what_if(principal=principal, tenant_id=principal.tenant_id, text=text, **more)


def test_newly_refused_with_the_policy_and_how_often(author, second, org, principal_for):
    person = principal_for(org, Role.DATA_SCIENTIST)
    for _time in range(3):
        require(person, "serving.batch.create")
    decide(person, "serving.batch.create")
    require(author, "policies.version.view")
    found = report(author, NO_BATCH)
    obeyed, shown = found.differences
    assert (obeyed.principal, obeyed.action, obeyed.before, obeyed.after) == (
        person.label,
        "serving.batch.create",
        "allowed",
        "refused",
    )
    assert obeyed.policies == ("no-batch",)
    assert obeyed.reasons == ("Batch jobs wait until the bank has decided about them.",)
    assert (obeyed.count, obeyed.enforced, shown.enforced) == (3, True, False)
    assert (found.refused, found.allowed) == (3, 0)
    assert found.examined >= 3
    assert found.decisions >= found.examined


def test_newly_allowed_when_the_policy_goes_but_never_past_roles(author, second, org, principal_for):
    enact_policies(author, second)
    scientist, developer = principal_for(org, Role.DATA_SCIENTIST), principal_for(org, Role.DEVELOPER)
    for person, action in ((scientist, "serving.batch.create"), (developer, "policies.version.view")):
        with pytest.raises(AccessDenied):
            require(person, action)
    found = report(author, "")
    assert [(d.principal, d.before, d.after, d.policies) for d in found.differences] == [
        (scientist.label, "refused", "allowed", ("no-batch",))
    ]
    assert not report(author, NO_BATCH).differences


def test_what_a_condition_stopped_stays_stopped(author, org, principal_for, monkeypatch):
    from governance.access import conditions
    from governance.access.conditions import Finding

    monkeypatch.setitem(
        conditions._conditions, "view", [lambda question: [Finding("stop.button", "Stopped by the bank.")]]
    )
    with pytest.raises(AccessDenied):
        require(author, "tenants.membership.view")
    monkeypatch.undo()
    assert not report(author, "").differences


def test_a_duty_that_appears_is_a_difference(author):
    require(author, "tenants.membership.view")
    text = '@id("four-eyes") @obligation("person-confirms") permit (principal, action, resource);'
    found = report(author, text)
    assert {(d.before, d.after, d.policies) for d in found.differences} == {
        ("allowed", "allowed: person-confirms", ("four-eyes",))
    }
    assert found.refused == 0


def test_a_policy_that_cannot_be_evaluated_counts_as_a_refusal(author):
    require(author, "tenants.membership.view")
    text = (
        '@id("overflow") forbid (principal, action, resource) when { context.now * 9223372036854775807 > 3 };'
    )
    found = report(author, text)
    assert {d.policies for d in found.differences} == {("policy-error",)}
    assert found.differences[0].reasons


def test_answers_from_memory_repeat_the_question_that_was_asked(author, org):
    target = ObjectRef("registry.model", "1")
    decision = decide(author, "registry.model.view", target, enforced=True)
    for _time in range(5):
        recorder.count(decision)
    other = decide(author, "registry.model.view", ObjectRef("registry.model", "2"), enforced=True)
    recorder.forget()
    for _time in range(5):
        recorder.count(decision)
    recorder.count(other)
    decide(author, "registry.model.view", target, enforced=True)
    found = report(author, '@id("a") forbid (principal, action == Action::"registry.model.view", resource);')
    assert [(d.target, d.count) for d in found.differences] == [("1", 6)]
    assert found.not_replayable == 1


def test_facts_that_the_record_lacks_are_filled_in(author, monkeypatch):
    require(author, "registry.model.view", ObjectRef("registry.model", "1"))
    monkeypatch.setattr(facts, "_source", lambda target, tenant: {"label": "restricted"})
    text = (
        '@id("a") forbid (principal, action == Action::"registry.model.view", resource) '
        'when { resource has label && resource.label == "restricted" };'
    )
    assert report(author, text).refused == 1


def test_the_platforms_text_is_tried_on_every_tenant_with_its_own(platform, author, second, principal_for):
    enact_policies(author, second)
    officer = principal_for(platform, Role.PLATFORM_ADMIN)
    with pytest.raises(AccessDenied):
        require(author, "serving.batch.create")
    require(author, "tenants.membership.view")
    found = report(
        officer, '@id("p") forbid (principal, action == Action::"tenants.membership.view", resource);'
    )
    assert [(d.principal, d.action, d.policies) for d in found.differences if d.enforced] == [
        (author.label, "tenants.membership.view", ("p",))
    ]


FORBIDDEN = '@id("a") forbid (principal, action == Action::"registry.model.view", resource);'


def test_of_very_many_differences_the_greatest_are_listed_and_all_are_counted(author, monkeypatch):
    monkeypatch.setattr(module, "MAX_DIFFERENCES", 2)
    monkeypatch.setattr(module, "MAX_KEPT", 3)
    monkeypatch.setattr(module, "AT_A_TIME", 2)
    for number in range(20):
        for _time in range(1 + number % 5):
            require(author, "registry.model.view", ObjectRef("registry.model", str(number)))
    found = report(author, FORBIDDEN)
    assert [item.count for item in found.differences] == [5, 5]
    assert found.more == 18
    assert found.refused == sum(1 + number % 5 for number in range(20))
    assert found.decisions == found.refused
    assert found.examined == 20


def test_it_says_how_far_it_is_and_can_be_ended(author, org, monkeypatch):
    monkeypatch.setattr(module, "TELL_EVERY", 2)
    for number in range(5):
        require(author, "registry.model.view", ObjectRef("registry.model", str(number)))
    recorder.flush()
    since = timezone.now() - timedelta(hours=1)
    told: list[int] = []
    with acting(author):
        module.replayed(org.id, FORBIDDEN, since, progress=told.append)
    assert told == [2, 4, 5]

    def stop(done):
        raise InterruptedError

    with acting(author), pytest.raises(InterruptedError):
        module.replayed(org.id, FORBIDDEN, since, progress=stop)


def test_equal_questions_are_asked_once(author, second, principal_for, org, monkeypatch):
    asked: list[str] = []
    evaluate = PolicyBook.evaluate

    def counted(self, request, names):
        if request["action"]["id"] == "registry.model.view":
            asked.append(request["principal"]["id"])
        return evaluate(self, request, names)

    people = [principal_for(org, Role.DATA_SCIENTIST) for _ in range(6)]
    for person in people:
        for number in range(5):
            require(person, "registry.model.view", ObjectRef("registry.model", str(number)))
    recorder.flush()
    monkeypatch.setattr(PolicyBook, "evaluate", counted)
    found = report(author, FORBIDDEN)
    assert (found.refused, len(found.differences), len(asked)) == (30, 30, 1)
    asked.clear()
    one = FORBIDDEN.replace("(principal,", f'(principal == User::"{people[0].id}",')
    assert report(author, one).refused == 5
    assert len(asked) == 6, "once for each person whom the policy could tell from the others"


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InvalidInput):
        module.check_question("forbid(", 24)


@pytest.mark.parametrize("hours", [0, 169])
def test_hours_have_bounds(author, hours):
    with pytest.raises(InvalidInput):
        report(author, "", hours=hours)


def test_another_tenants_decisions_are_not_told(author, other_org, principal_for, org):
    neighbour = principal_for(other_org, Role.TENANT_ADMIN)
    require(author, "tenants.membership.view")
    recorder.flush()
    with acting(neighbour):
        found = what_if(principal=neighbour, tenant_id=None, text=NO_BATCH)
    assert found.examined == 0
    with acting(neighbour), pytest.raises(AccessDenied):
        what_if(principal=neighbour, tenant_id=org.id, text=NO_BATCH)
    with acting(author), pytest.raises(AccessDenied):
        developer = principal_for(org, Role.DEVELOPER)
        what_if(principal=developer, tenant_id=None, text=NO_BATCH)
