"""What moves a submission on without a person: the ethics office's answer, and the steps of publication."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.ethics.models import Approval
from governance.ethics.selectors import latest_for
from governance.ethics.services import is_approved
from governance.principals import SYSTEM, Principal
from governance.tenants.context import platform_scope
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.publication import Step
from marketplace.catalog.services import end_version
from marketplace.review.lifecycle import Kind, locked, move, note
from marketplace.review.models import Submission
from marketplace.review.services import release_for_publication
from marketplace.review.states import SUBMISSION_STATES

State = Submission.State


def advance_submission(*, submission_id: UUID) -> None:
    """Draw the consequences of the ethics office's decision. Idempotent; does nothing while something is missing."""
    with platform_scope(), transaction.atomic():
        submission = locked(submission_id)
        if not submission.needs_ethics:
            return
        approval = latest_for(submission.ref)
        if approval is not None and approval.state == Approval.State.REFUSED:
            _refuse(submission, approval)
        elif is_approved(submission.ref):
            if not submission.events.filter(code="ethics_approved").exists():
                note(submission, principal=SYSTEM, kind=Kind.ETHICS, code="ethics_approved")
            if submission.state == State.WAITING_FOR_ETHICS:
                move(submission, State.APPROVED, principal=SYSTEM)
                release_for_publication(submission, principal=SYSTEM)


def _refuse(submission: Submission, approval: Approval) -> None:
    if not SUBMISSION_STATES.allows(submission.state, State.REJECTED):
        return
    submission.claimed_by_id = None
    submission.claim_expires_at = None
    reason = _("The ethics office refused: %(reason)s") % {"reason": approval.reason}
    move(
        submission,
        State.REJECTED,
        principal=SYSTEM,
        kind=Kind.ETHICS,
        code="ethics_refused",
        message=reason,
        also=["claimed_by", "claim_expires_at"],
    )
    if submission.version_id is not None:
        end_version(principal=SYSTEM, version_id=submission.version_id, target="rejected", reason=reason)


def follow_publication(version: PluginVersion, step: Step, principal: Principal, detail: str) -> None:
    """Listener of the catalogue: the submission's timeline tells each step, in the same transaction."""
    submission = Submission.objects.select_for_update(of=("self",)).filter(version_id=version.id).first()
    if submission is None:
        return
    if step is Step.STARTED and submission.state == State.APPROVED:
        move(submission, State.PUBLISHING, principal=principal)
    elif step is Step.FAILED:
        note(
            submission,
            principal=principal,
            kind=Kind.NOTE,
            code="publication_failed",
            message=detail,
            publisher_visible=False,
        )
    elif step is Step.PUBLISHED:
        move(submission, State.PUBLISHED, principal=principal)
    elif step is Step.BLOCKED:
        note(submission, principal=principal, kind=Kind.NOTE, code="blocked", message=detail)
