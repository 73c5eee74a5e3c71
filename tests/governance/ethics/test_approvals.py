"""Approvals: bound to exact bytes, decided by somebody else, and over when they run out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.ethics import services
from governance.ethics.models import Approval
from governance.ethics.states import APPROVAL_STATES
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.marketplace import ANSWERS, OLD_ANSWERS, QUESTIONNAIRE
from tests.governance.ethics.steps import acting, approved, ask, decide, subject
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
    with pytest.raises(AccessDenied, match="asked for this yourself"):
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
        ask(
            partner, given={"version": "ai-act-1", "answers": OLD_ANSWERS | {"no_prohibited_practice": "yes"}}
        )
    assert [error["pointer"] for error in refused.value.errors] == ["/questionnaire/no_prohibited_practice"]
    with pytest.raises(InvalidInput):
        ask(partner, given={"version": "no-such", "answers": ANSWERS})


@database
def test_an_earlier_version_may_still_be_answered_and_asks_for_the_same_evidence(partner, officer):
    approval = ask(partner, given={"version": "ai-act-1", "answers": OLD_ANSWERS})
    assert (approval.questionnaire_version, approval.risk_class) == ("ai-act-1", "high")
    with pytest.raises(Conflict) as refused:
        decide(officer, approval)
    assert {error["pointer"] for error in refused.value.errors} == {
        "/evidence/model_card", "/evidence/evaluation", "/evidence/oversight_plan",
    }  # fmt: skip


@database
def test_what_article_5_prohibits_cannot_be_approved(partner, officer):
    given = {"answers": ANSWERS | {"prohibited_practices": ["social-scoring"]}}
    approval = ask(partner, given=given)
    assert approval.risk_class == "prohibited"
    with pytest.raises(Conflict, match="prohibits"):
        decide(officer, approval)
    assert decide(officer, approval, approve=False).state == "refused"


@database
def test_evidence_can_be_added_until_the_decision_and_the_newest_counts(partner, officer):
    approval = ask(partner, given={"answers": ANSWERS})
    for kind, document in QUESTIONNAIRE["evidence"].items():
        with acting(partner):
            services.supply_evidence(principal=partner, approval_id=approval.id, kind=kind, document=document)
            again = services.supply_evidence(
                principal=partner, approval_id=approval.id, kind=kind, document=document
            )
        assert again.digest
    decided = decide(officer, approval)
    with acting(partner), pytest.raises(Conflict, match="while it waits"):
        services.supply_evidence(
            principal=partner, approval_id=decided.id, kind="model_card", document="# Other"
        )
    with platform_scope(), transaction.atomic():
        assert approval.evidence.count() == 3
        assert AuditEntry.objects.filter(action="ethics.evidence.supply").count() == 3


@database
def test_evidence_is_only_added(partner):
    approval = ask(partner)
    with pytest.raises(Exception, match="only added"), platform_scope(), transaction.atomic():
        approval.evidence.update(document="another")
    with pytest.raises(Exception, match="only added"), platform_scope(), transaction.atomic():
        approval.evidence.all().delete()


@database
def test_it_holds_as_long_as_the_officer_says_and_never_longer_than_a_year(partner, officer, settings):
    approval = ask(partner)
    for days in (0, -1, 366):
        with pytest.raises(InvalidInput):
            decide(officer, approval, valid_days=days)
    settings.ETHICS_APPROVAL_DAYS = 30
    with pytest.raises(InvalidInput):
        decide(officer, approval, valid_days=31)
    decided = decide(officer, approval, valid_days=10)
    assert decided.expires_at - decided.decided_at == timedelta(days=10)


@database
def test_a_condition_until_a_date_ends_it_earlier(partner, officer):
    day = (timezone.now() + timedelta(days=5)).date()
    decided = decide(officer, ask(partner), conditions=[{"kind": "until", "value": day.isoformat()}])
    assert decided.expires_at.date() == day + timedelta(days=1)
    assert decided.expires_at.hour == 0


@database
def test_who_asked_is_reminded_once_and_can_renew_with_the_same_answers(partner, officer):
    first = decide(officer, ask(partner), valid_days=20)
    assert services.expire_approvals() == 0
    assert services.expire_approvals() == 0
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(action="ethics.approval.remind").count() == 1
    with acting(partner):
        second = services.renew_approval(principal=partner, approval_id=first.id)
        assert services.renew_approval(principal=partner, approval_id=first.id).id == second.id
    assert (second.state, second.renews_id, second.questionnaire) == (
        "requested", first.id, first.questionnaire,
    )  # fmt: skip
    assert approved(subject()), "the first one holds until the second is decided"
    decide(officer, second)
    with platform_scope(), transaction.atomic():
        assert second.evidence.count() == 3
        assert sorted(Approval.objects.values_list("state", flat=True)) == ["approved", "void"]
    with pytest.raises(Conflict), acting(partner):
        services.renew_approval(principal=partner, approval_id=first.id)


@database
def test_another_tenant_does_not_find_it(partner, principal_for, make_tenant):
    approval = ask(partner)
    rival = principal_for(make_tenant("rival", kind="partner"), Role.PARTNER)
    with pytest.raises(NotFound):
        decide(rival, approval)
