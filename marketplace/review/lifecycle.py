"""The one way in which a submission changes its state, and the one way in which its timeline grows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit.services import record
from governance.errors import NotFound
from governance.principals import Principal, Role
from marketplace.catalog.models import PluginVersion
from marketplace.review.live import announce_change
from marketplace.review.models import Submission, SubmissionEvent
from marketplace.review.states import SUBMISSION_STATES

Kind = SubmissionEvent.Kind
# How many working days reviewers have. More to look at takes longer.
WORKING_DAYS = {PluginVersion.Risk.LOW: 2, PluginVersion.Risk.MEDIUM: 3, PluginVersion.Risk.HIGH: 5}


def locked(submission_id: UUID) -> Submission:
    """The submission, locked until the transaction ends. Raises NotFound."""
    rows = Submission.objects.select_for_update(of=("self",)).select_related("version")
    submission = rows.filter(pk=submission_id).first()
    if submission is None:
        raise NotFound(_("There is no such submission."))
    return submission


def move(
    submission: Submission,
    target: str,
    *,
    principal: Principal,
    kind: str = Kind.STATE,
    code: str = "",
    message: str = "",
    params: dict[str, Any] | None = None,
    publisher_visible: bool = True,
    also: list[str] | None = None,
) -> None:
    """Take a legal step and write it down. `also` names further fields that the caller has changed."""
    source = submission.state
    SUBMISSION_STATES.check(source, target, principal.roles)
    submission.state = target
    submission.state_changed_at = timezone.now()
    submission.save(update_fields=["state", "state_changed_at", *(also or [])])
    note(
        submission,
        principal=principal,
        kind=kind,
        code=code or str(target),
        message=message,
        params=params,
        from_state=str(source),
        to_state=str(target),
        publisher_visible=publisher_visible,
    )
    record(
        principal=principal,
        action=f"review.submission.{target}",
        target=submission.ref,
        tenant_id=submission.tenant_id,
        reason=message,
        details={"from": str(source), "to": str(target)},
    )


def note(
    submission: Submission,
    *,
    principal: Principal,
    kind: str,
    code: str,
    message: str = "",
    params: dict[str, Any] | None = None,
    from_state: str = "",
    to_state: str = "",
    publisher_visible: bool = True,
) -> SubmissionEvent:
    """One line of the timeline; whoever is looking sees it after commit."""
    event = SubmissionEvent.objects.create(
        tenant_id=submission.tenant_id,
        submission=submission,
        kind=kind,
        actor_kind=principal.kind,
        actor_id=principal.id,
        actor_label=principal.label[:200],
        actor_side=side_of(principal),
        from_state=from_state,
        to_state=to_state,
        code=code,
        params=params or {},
        message=message,
        publisher_visible=publisher_visible,
    )
    announce_change(submission.id)
    return event


def side_of(principal: Principal) -> str:
    """On whose side of the table the actor sits."""
    if principal.has_role(Role.PARTNER):
        return "publisher"
    if principal.has_role(Role.REVIEWER):
        return "reviewer"
    if principal.has_role(Role.ETHICS_OFFICER):
        return "ethics"
    return "platform"


def due_date(risk_level: str, *, start: datetime | None = None) -> datetime:
    """`start` plus the working days (Monday to Friday, UTC) that a version of this risk gets."""
    due = start or timezone.now()
    left = WORKING_DAYS.get(PluginVersion.Risk(risk_level or "high"), 5)
    while left:
        due += timedelta(days=1)
        left -= due.weekday() < 5
    return due
