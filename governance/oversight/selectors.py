"""Reading stops, tasks and labels."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from governance.oversight.models import HumanLabel, OversightRule, OversightTask, Stop

OPEN = (OversightTask.State.OPEN, OversightTask.State.CLAIMED)


def stops_in_force(tenant_id: UUID | None = None) -> QuerySet[Stop]:
    """What is stopped now, that the caller may see, the newest first."""
    rows = Stop.objects.exclude(state=Stop.State.RELEASED).select_related(
        "pressed_by", "release_asked_by", "tenant"
    )
    return rows if tenant_id is None else rows.filter(tenant_id=tenant_id)


def queue(tenant_id: UUID | None = None) -> QuerySet[OversightTask]:
    """What waits for a person, the most urgent first."""
    rows = OversightTask.objects.filter(state__in=OPEN).select_related("claimed_by", "tenant")
    return (rows if tenant_id is None else rows.filter(tenant_id=tenant_id)).order_by("due_at", "id")


def decided_task(task_id: UUID) -> OversightTask | None:
    """The task once a person has decided it; None before that, and for one that was taken back."""
    rows = OversightTask.objects.select_related("decided_by")
    return rows.filter(pk=task_id, state=OversightTask.State.DECIDED).first()


def overdue() -> QuerySet[OversightTask]:
    """What nobody decided in time and nobody was told about yet."""
    return OversightTask.objects.filter(state__in=OPEN, due_at__lte=timezone.now(), escalated_at=None)


def escalated(tenant_id: UUID | None = None) -> QuerySet[OversightTask]:
    """What was not decided in time and still waits: for administrators and the ethics office, the latest first."""
    return queue(tenant_id).filter(escalated_at__isnull=False)


def rule_for(tenant_id: UUID, target_type: str, target_id: str) -> OversightRule | None:
    """The oversight rule of an endpoint or a skill."""
    return OversightRule.objects.filter(
        tenant_id=tenant_id, target_type=target_type, target_id=target_id
    ).first()


def labels(tenant_id: UUID) -> QuerySet[HumanLabel]:
    """What people decided, in force, the newest first: for evaluation and training."""
    return HumanLabel.objects.filter(tenant_id=tenant_id, in_force=True)
