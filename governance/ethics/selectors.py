"""Reading approvals."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from governance.ethics.models import Approval
from governance.refs import ObjectRef

State = Approval.State


def is_approved(subject: ObjectRef) -> bool:
    """Whether exactly this digest of the subject has an approval in force."""
    return (
        Approval.objects.filter(
            subject_type=subject.type,
            subject_id=subject.id,
            subject_digest=subject.digest,
            state=State.APPROVED,
        )
        .filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        .exists()
    )


def latest_for(subject: ObjectRef) -> Approval | None:
    """The newest approval of exactly this digest, whatever its state."""
    return (
        Approval.objects.filter(
            subject_type=subject.type, subject_id=subject.id, subject_digest=subject.digest
        )
        .order_by("-id")
        .first()
    )


def queue() -> QuerySet[Approval]:
    """What waits for an ethics officer, the oldest first."""
    return (
        Approval.objects.filter(state=State.REQUESTED).select_related("requested_by").order_by("requested_at")
    )
