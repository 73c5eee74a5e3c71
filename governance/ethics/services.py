"""Every change of ethics approvals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ethics import subjects
from governance.ethics.models import Approval
from governance.ethics.questionnaires import checked
from governance.ethics.selectors import is_approved
from governance.ethics.states import APPROVAL_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.tasks import enqueue

__all__ = ["decide_approval", "expire_approvals", "is_approved", "request_approval", "void_approvals"]

State = Approval.State
VALID_FOR = timedelta(days=365)


@transaction.atomic
def request_approval(
    *, principal: Principal, subject: ObjectRef, purpose: str, questionnaire: dict[str, Any], tenant_id: UUID
) -> Approval:
    """Ask for an approval of exactly `subject.digest`.

    Idempotent per digest. An open or given approval of the same subject with another digest becomes void.
    Raises InvalidInput when the questionnaire is not complete.
    """
    require(principal, "ethics.approval.request", tenant_id=tenant_id)
    if not subject.digest or principal.accountable_user_id is None:
        raise InvalidInput(_("An approval needs a digest and a person who asks for it."))
    version, answers = checked(questionnaire)
    live = Approval.objects.select_for_update(of=("self",)).filter(
        subject_type=subject.type, subject_id=subject.id, state__in=[State.REQUESTED, State.APPROVED]
    )
    for other in live:
        if other.subject_digest == subject.digest:
            return other
        _move(other, State.VOID, principal=principal, reason=_("The content has changed."))
    approval = Approval.objects.create(
        tenant_id=tenant_id,
        subject_type=subject.type,
        subject_id=subject.id,
        subject_digest=subject.digest,
        subject_label=subject.label,
        purpose=purpose,
        questionnaire_version=version,
        questionnaire=answers,
        requested_by_id=principal.accountable_user_id,
    )
    record(
        principal=principal,
        action="ethics.approval.request",
        target=ObjectRef.of(approval, digest=subject.digest),
        tenant_id=tenant_id,
        details={"purpose": purpose, "questionnaire": version},
    )
    return approval


@transaction.atomic
def decide_approval(*, principal: Principal, approval_id: UUID, approve: bool, reason: str) -> Approval:
    """Approve for a year, or refuse, with a reason. Nobody decides on a request of their own."""
    approval = Approval.objects.select_for_update(of=("self",)).filter(pk=approval_id).first()
    if approval is None:
        raise NotFound(_("There is no such approval."))
    require(principal, "ethics.approval.decide", approval)
    if principal.accountable_user_id is None or principal.accountable_user_id == approval.requested_by_id:
        raise Conflict(
            _("You asked for this approval yourself, so somebody else must decide."), code="own-request"
        )
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the decision."))
    approval.decided_by_id = principal.accountable_user_id
    approval.decided_at = timezone.now()
    if approve:
        approval.expires_at = approval.decided_at + VALID_FOR
    target = State.APPROVED if approve else State.REFUSED
    _move(approval, target, principal=principal, reason=reason.strip())
    return approval


@transaction.atomic
def void_approvals(*, principal: Principal, subject: ObjectRef, reason: str) -> int:
    """Void what is open or given for the subject, whatever its digest: it was withdrawn or replaced."""
    live = Approval.objects.select_for_update(of=("self",)).filter(
        subject_type=subject.type, subject_id=subject.id, state__in=[State.REQUESTED, State.APPROVED]
    )
    for approval in live:
        _move(approval, State.VOID, principal=principal, reason=reason)
    return len(live)


def expire_approvals() -> int:
    """Mark what has run out. Correctness does not hang on it: `is_approved` compares the time itself."""
    with platform_scope(), transaction.atomic():
        due = Approval.objects.select_for_update(of=("self",), skip_locked=True).filter(
            state=State.APPROVED, expires_at__lte=timezone.now()
        )
        for approval in due:
            _move(approval, State.EXPIRED, principal=SYSTEM, reason="")
        return len(due)


def _move(approval: Approval, target: str, *, principal: Principal, reason: str) -> None:
    source = approval.state
    APPROVAL_STATES.check(source, target, principal.roles)
    approval.state = target
    if reason:
        approval.reason = reason
    approval.save(update_fields=["state", "reason", "decided_by", "decided_at", "expires_at"])
    record(
        principal=principal,
        action=f"ethics.approval.{target}",
        target=ObjectRef.of(approval, digest=approval.subject_digest),
        tenant_id=approval.tenant_id,
        reason=reason,
        details={"from": str(source), "to": str(target)},
    )
    if target in (State.APPROVED, State.REFUSED) and (task := subjects.task_for(approval.subject_type)):
        enqueue(task, queue="default", subject_id=approval.subject_id)
