"""Every change of ethics approvals: asking, supplying evidence, deciding, renewing, voiding, running out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ethics import subjects
from governance.ethics.binding import refresh
from governance.ethics.evidence import as_text, digest_of, summarize
from governance.ethics.models import Approval, Evidence
from governance.ethics.questionnaires import ACCEPTED, Answers, assess, checked
from governance.ethics.selectors import SOON, expiring, is_approved, missing
from governance.ethics.states import APPROVAL_STATES
from governance.ethics.terms import Terms, parse_terms
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.tasks import enqueue

__all__ = [
    "decide_approval",
    "expire_approvals",
    "is_approved",
    "renew_approval",
    "request_approval",
    "supply_evidence",
    "void_approvals",
]

State = Approval.State


@transaction.atomic
def request_approval(
    *, principal: Principal, subject: ObjectRef, purpose: str, questionnaire: dict[str, Any], tenant_id: UUID
) -> Approval:
    """Ask for an approval of exactly `subject.digest`; the class of risk follows from the answers.

    `questionnaire` may bring evidence along: `{"version", "answers", "evidence": {kind: text or object}}`. Idempotent
    per digest; an open or given approval of the same subject with another digest becomes void. Raises InvalidInput
    when the answers are not complete or a document is not what it says.
    """
    require(principal, "ethics.approval.request", tenant_id=tenant_id)
    if not subject.digest or principal.accountable_user_id is None:
        raise InvalidInput(_("An approval needs a digest and a person who asks for it."))
    answers = checked(questionnaire)
    brought = questionnaire.get("evidence") or {}
    if not isinstance(brought, dict):
        raise InvalidInput(_("Evidence is an object: kind of evidence to document."))
    for other in _live(subject):
        if other.subject_digest == subject.digest:
            return other
        _move(other, State.VOID, principal=principal, reason=_("The content has changed."))
    approval = _create(principal, subject, purpose, answers, tenant_id=tenant_id)
    for kind, document in brought.items():
        _keep_evidence(approval, str(kind), as_text(document), principal=principal)
    return approval


@transaction.atomic
def supply_evidence(*, principal: Principal, approval_id: UUID, kind: str, document: Any) -> Evidence:
    """Add a document to an open request; the newest of a kind counts. Sending the same again changes nothing.

    `document` is text, or an object that is kept as JSON. Raises InvalidInput that names every fault.
    """
    approval = _locked(approval_id)
    require(principal, "ethics.evidence.supply", approval)
    if approval.state != State.REQUESTED:
        raise Conflict(
            _("The request is %(state)s; evidence can only be added while it waits for a decision.")
            % {"state": approval.get_state_display()}
        )
    return _keep_evidence(approval, kind, as_text(document), principal=principal)


@transaction.atomic
def decide_approval(
    *,
    principal: Principal,
    approval_id: UUID,
    approve: bool,
    reason: str,
    conditions: Sequence[Any] = (),
    valid_days: int | None = None,
) -> Approval:
    """Approve for a time, under conditions, or refuse; with a reason. Nobody decides on a request of their own.

    `valid_days` is at most `ETHICS_APPROVAL_DAYS` (its default). A prohibited use cannot be approved, nor one whose
    required evidence is missing.
    """
    approval = _locked(approval_id)
    require(
        principal,
        "ethics.approval.decide",
        approval,
        context={"requested_by": str(approval.requested_by_id)},
    )
    if principal.accountable_user_id is None or principal.accountable_user_id == approval.requested_by_id:
        raise Conflict(
            _("You asked for this approval yourself, so somebody else must decide."), code="own-request"
        )
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the decision."))
    approval.decided_by_id = principal.accountable_user_id
    approval.decided_at = timezone.now()
    if not approve:
        _move(approval, State.REFUSED, principal=principal, reason=reason.strip())
        return approval
    APPROVAL_STATES.check(approval.state, State.APPROVED, principal.roles)
    _check_approvable(approval)
    terms = parse_terms(conditions, today=approval.decided_at.date())
    approval.conditions = terms.as_json()
    approval.expires_at = _end(approval, terms, valid_days)
    if approval.renews_id is not None:
        earlier = _locked(approval.renews_id)
        if earlier.state == State.APPROVED:
            _move(earlier, State.VOID, principal=principal, reason=_("Renewed."))
    _move(approval, State.APPROVED, principal=principal, reason=reason.strip())
    return approval


@transaction.atomic
def renew_approval(*, principal: Principal, approval_id: UUID) -> Approval:
    """Ask again for the same bytes, with the same answers and evidence; the present approval holds until it ends.

    Idempotent while a request is open. Raises Conflict when the answers are to a version that is not accepted any more.
    """
    earlier = _locked(approval_id)
    require(principal, "ethics.approval.request", earlier)
    if principal.accountable_user_id is None:
        raise InvalidInput(_("An approval needs a digest and a person who asks for it."))
    if earlier.state not in (State.APPROVED, State.EXPIRED):
        raise Conflict(
            _("Only a given or expired approval can be renewed; this one is %(state)s.")
            % {"state": earlier.get_state_display()}
        )
    if earlier.questionnaire_version not in ACCEPTED:
        raise Conflict(
            _("The questionnaire “%(version)s” is not accepted any more.")
            % {"version": earlier.questionnaire_version},
            hint=_("Answer the present one in a new request."),
        )
    for other in _live(earlier.subject):
        if other.pk != earlier.pk and other.subject_digest == earlier.subject_digest:
            return other
    answers = checked({"version": earlier.questionnaire_version, "answers": earlier.questionnaire})
    approval = _create(
        principal, earlier.subject, earlier.purpose, answers, tenant_id=earlier.tenant_id, renews=earlier
    )
    for row in earlier.evidence.order_by("id"):
        _keep_evidence(approval, row.kind, row.document, principal=principal)
    return approval


@transaction.atomic
def void_approvals(*, principal: Principal, subject: ObjectRef, reason: str) -> int:
    """Void what is open or given for the subject, whatever its digest: it was withdrawn or replaced."""
    live = list(_live(subject))
    for approval in live:
        _move(approval, State.VOID, principal=principal, reason=reason)
    return len(live)


def expire_approvals() -> int:
    """Mark what has run out, and remind once of what ends within 30 days. Returns how many have run out.

    Correctness does not hang on it: everybody who asks compares the time as well.
    """
    with platform_scope(), transaction.atomic():
        due = Approval.objects.select_for_update(of=("self",), skip_locked=True).filter(
            state=State.APPROVED, expires_at__lte=timezone.now()
        )
        for approval in due:
            _move(approval, State.EXPIRED, principal=SYSTEM, reason="")
        for approval in (
            expiring(within=SOON).select_for_update(of=("self",), skip_locked=True).filter(reminded_at=None)
        ):
            _remind(approval)
        return len(due)


def _remind(approval: Approval) -> None:
    approval.reminded_at = timezone.now()
    approval.save(update_fields=["reminded_at"])
    assert approval.expires_at is not None
    record(
        principal=SYSTEM,
        action="ethics.approval.remind",
        target=ObjectRef.of(approval, digest=approval.subject_digest),
        tenant_id=approval.tenant_id,
        details={"expires_at": approval.expires_at.isoformat()},
    )


def _live(subject: ObjectRef) -> Sequence[Approval]:
    """What is open or given for the subject, open requests first; locked."""
    rows = Approval.objects.select_for_update(of=("self",)).filter(
        subject_type=subject.type, subject_id=subject.id, state__in=[State.REQUESTED, State.APPROVED]
    )
    return list(rows.order_by("-state", "id"))


def _locked(approval_id: UUID) -> Approval:
    approval = Approval.objects.select_for_update(of=("self",)).filter(pk=approval_id).first()
    if approval is None:
        raise NotFound(_("There is no such approval."))
    return approval


def _create(
    principal: Principal,
    subject: ObjectRef,
    purpose: str,
    answers: Answers,
    *,
    tenant_id: UUID,
    renews: Approval | None = None,
) -> Approval:
    risk = assess(answers.questionnaire, answers.given, purpose=purpose)
    assert principal.accountable_user_id is not None
    approval = Approval.objects.create(
        tenant_id=tenant_id,
        subject_type=subject.type,
        subject_id=subject.id,
        subject_digest=subject.digest,
        subject_label=subject.label,
        purpose=purpose,
        questionnaire_version=answers.questionnaire.version,
        questionnaire=dict(answers.given),
        risk_class=risk.risk_class,
        risk_because=[because.rule for because in risk.because],
        requested_by_id=principal.accountable_user_id,
        renews=renews,
    )
    record(
        principal=principal,
        action="ethics.approval.request",
        target=ObjectRef.of(approval, digest=subject.digest),
        tenant_id=tenant_id,
        details={
            "purpose": purpose,
            "questionnaire": answers.questionnaire.version,
            "risk_class": risk.risk_class,
            "because": [because.as_json() for because in risk.because],
            "renews": str(renews.id) if renews else "",
        },
    )
    return approval


def _keep_evidence(approval: Approval, kind: str, document: str, *, principal: Principal) -> Evidence:
    summary = summarize(kind, document)
    row, created = Evidence.objects.get_or_create(
        approval=approval,
        kind=kind,
        digest=digest_of(document),
        defaults={
            "tenant_id": approval.tenant_id,
            "document": document,
            "summary": summary,
            "supplied_by_id": principal.accountable_user_id,
        },
    )
    if created:
        record(
            principal=principal,
            action="ethics.evidence.supply",
            target=ObjectRef.of(approval, digest=approval.subject_digest),
            tenant_id=approval.tenant_id,
            details={"kind": kind, "digest": row.digest},
        )
    return row


def _check_approvable(approval: Approval) -> None:
    if approval.risk_class == Approval.RiskClass.PROHIBITED:
        raise Conflict(
            _("Article 5 of the AI Act prohibits this use, so it cannot be approved."),
            code="prohibited",
            hint=_("Refuse it with a reason."),
        )
    if lacking := missing(approval):
        names = ", ".join(item.label for item in lacking)
        raise Conflict(
            _("This class of risk needs evidence that is missing: %(names)s.") % {"names": names},
            code="evidence-missing",
            hint=_("The publisher can add it to the request; nothing else has to be answered again."),
            errors=[{"pointer": f"/evidence/{item.kind}", "detail": item.label} for item in lacking],
        )


def _end(approval: Approval, terms: Terms, valid_days: int | None) -> Any:
    most: int = settings.ETHICS_APPROVAL_DAYS
    days = most if valid_days is None else valid_days
    if not 1 <= days <= most:
        raise InvalidInput(_("An approval holds for 1 to %(most)d days.") % {"most": most})
    assert approval.decided_at is not None
    end = approval.decided_at + timedelta(days=days)
    return min(end, terms.ends_at) if terms.ends_at else end


def _move(approval: Approval, target: str, *, principal: Principal, reason: str) -> None:
    source = approval.state
    APPROVAL_STATES.check(source, target, principal.roles)
    approval.state = target
    if reason:
        approval.reason = reason
    approval.save(update_fields=["state", "reason", "decided_by", "decided_at", "expires_at", "conditions"])
    record(
        principal=principal,
        action=f"ethics.approval.{target}",
        target=ObjectRef.of(approval, digest=approval.subject_digest),
        tenant_id=approval.tenant_id,
        reason=reason,
        details={"from": str(source), "to": str(target)}
        | ({"conditions": approval.conditions} if target == State.APPROVED else {}),
    )
    refresh(approval.subject)
    if target in (State.APPROVED, State.REFUSED) and (task := subjects.task_for(approval.subject_type)):
        enqueue(task, queue="default", subject_id=approval.subject_id)
