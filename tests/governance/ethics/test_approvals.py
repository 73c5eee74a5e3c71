"""Approvals: bound to exact bytes, decided by somebody else, and over when they run out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.ethics import services
from governance.ethics.models import Approval
from governance.ethics.states import APPROVAL_STATES
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, row_scope
from tests.factories.marketplace import ANSWERS
from tests.states import assert_complete, assert_step, every_step

STEPS = {
    ("requested", "approved"),
    ("requested", "refused"),
    ("requested", "void"),
    ("approved", "void"),
    ("approved", "expired"),
}
database = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("source", "target"), every_step(APPROVAL_STATES))
def test_every_step(source, target):
    assert_step(APPROVAL_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(APPROVAL_STATES, Approval.State.values)


def subject(digest="a" * 64):
    return ObjectRef("tests.subject", "1", digest, "Subject")


def acting(principal):
    return row_scope(RowScope(principal.tenant_id, principal.platform))


@pytest.fixture
def partner(principal_for, partner_org):
    return principal_for(partner_org, Role.PARTNER)


@pytest.fixture
def officer(principal_for, platform):
    return principal_for(platform, Role.ETHICS_OFFICER)


def ask(principal, about=None, answers=ANSWERS):
    with acting(principal):
        return services.request_approval(
            principal=principal,
            subject=about or subject(),
            purpose="justice",
            questionnaire=answers,
            tenant_id=principal.tenant_id,
        )


def decide(principal, approval, approve=True, reason="Because."):
    with acting(principal):
        return services.decide_approval(
            principal=principal, approval_id=approval.id, approve=approve, reason=reason
        )


def approved(about):
    with platform_scope(), transaction.atomic():
        return services.is_approved(about)


@database
def test_an_approval_is_about_exact_bytes(partner, officer):
    first = ask(partner)
    assert ask(partner).id == first.id
    assert not approved(subject())
    decide(officer, first)
    assert approved(subject())
    assert not approved(subject("b" * 64))
    ask(partner, subject("b" * 64))
    assert not approved(subject()), "other bytes of the same subject void it"
    with platform_scope(), transaction.atomic():
        assert sorted(Approval.objects.values_list("state", flat=True)) == ["requested", "void"]


@database
def test_a_decision_is_final_needs_a_reason_and_the_right(partner, officer):
    approval = ask(partner)
    with pytest.raises(InvalidInput):
        decide(officer, approval, reason="  ")
    with pytest.raises(AccessDenied):
        decide(partner, approval)
    decide(officer, approval, approve=False)
    with pytest.raises(IllegalTransition):
        decide(officer, approval)


@database
def test_who_asks_does_not_decide(partner, officer, platform):
    approval = ask(partner)
    with platform_scope(), transaction.atomic():
        Approval.objects.update(requested_by_id=officer.accountable_user_id)
    with pytest.raises(Conflict):
        decide(officer, approval)
    with (
        pytest.raises(IntegrityError, match="requester_does_not_decide"),
        platform_scope(),
        transaction.atomic(),
    ):
        Approval.objects.update(decided_by_id=officer.accountable_user_id)


@database
def test_two_open_approvals_of_the_same_bytes_cannot_exist(partner):
    approval = ask(partner)
    with pytest.raises(IntegrityError, match="one_open_approval"), platform_scope(), transaction.atomic():
        approval.pk = None
        Approval(
            **{f.attname: getattr(approval, f.attname) for f in Approval._meta.fields if f.name != "id"}
        ).save()


@database
def test_it_runs_out(partner, officer):
    decide(officer, ask(partner))
    with platform_scope(), transaction.atomic():
        Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert not approved(subject()), "also before anybody has marked it"
    assert services.expire_approvals() == 1


@database
def test_the_questionnaire_must_be_complete(partner):
    with pytest.raises(InvalidInput) as refused:
        ask(partner, answers={"version": "ai-act-1", "answers": ANSWERS | {"no_prohibited_practice": "yes"}})
    assert [error["pointer"] for error in refused.value.errors] == ["/questionnaire/no_prohibited_practice"]
    with pytest.raises(InvalidInput):
        ask(partner, answers={"version": "no-such", "answers": ANSWERS})


@database
def test_another_tenant_does_not_find_it(partner, principal_for, make_tenant):
    approval = ask(partner)
    rival = principal_for(make_tenant("rival", kind="partner"), Role.PARTNER)
    with pytest.raises(NotFound):
        decide(rival, approval)
