"""What people do with submissions: upload, claim, ask, answer, decide, withdraw."""

from __future__ import annotations

from datetime import timedelta
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput
from governance.ethics.questionnaires import checked
from governance.ethics.services import is_approved, request_approval, void_approvals
from governance.ids import uuid7
from governance.principals import Principal
from marketplace.catalog.manifest import Manifest
from marketplace.catalog.quarantine import archive_path
from marketplace.catalog.selectors import name_is_taken, version_in_use
from marketplace.catalog.services import approve_version, end_version
from marketplace.review.archives import peek_manifest, take_in
from marketplace.review.checking import retry_check, start_checks
from marketplace.review.ethics_evidence import add_model_card
from marketplace.review.lifecycle import Kind, locked, move, note
from marketplace.review.models import ENDED, ReviewDecision, Submission
from marketplace.review.purposes import correct_purpose

__all__ = [
    "answer_questionnaire",
    "answer_reviewer",
    "ask_publisher",
    "claim",
    "decide",
    "release_claim",
    "retry_check",
    "submit_version",
    "withdraw",
]

State = Submission.State
CLAIM = timedelta(hours=8)
MAX_MESSAGE = 8000


def submit_version(
    *,
    principal: Principal,
    file: IO[bytes],
    filename: str,
    questionnaire: dict[str, Any] | None = None,
) -> Submission:
    """Take an archive into quarantine and start its checks.

    The same bytes again give the submission that is already under way. Raises Conflict when the plugin's name belongs
    to somebody else or the version number is in use, TooLarge, and InvalidInput for an incomplete questionnaire.
    """
    require(principal, "review.submission.upload")
    if principal.tenant_id is None or principal.accountable_user_id is None:
        raise InvalidInput(_("An upload needs a partner and a person who answers for it."))
    if questionnaire is not None:
        checked(questionnaire)
    submission = Submission(
        id=uuid7(),
        tenant_id=principal.tenant_id,
        uploaded_by_id=principal.accountable_user_id,
        filename=_safe_name(filename),
    )
    submission.archive_path = archive_path(submission.tenant_id, submission.id)
    taken = take_in(file, submission.archive, limit_bytes=settings.PLUGIN_UPLOAD_MAX_BYTES)
    submission.sha256, submission.size_bytes = taken.sha256, taken.size_bytes
    try:
        with transaction.atomic():
            known = _under_way(submission)
            if known is None:
                _enter(submission, principal=principal, questionnaire=questionnaire)
    except BaseException:
        submission.archive.delete()
        raise
    if known is not None:
        submission.archive.delete()
        return known
    return submission


def _safe_name(filename: str) -> str:
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in name if c.isprintable())[:200] or "plugin.zip"


def _under_way(submission: Submission) -> Submission | None:
    rows = Submission.objects.filter(tenant_id=submission.tenant_id, sha256=submission.sha256)
    return rows.exclude(state__in=ENDED).first()


def _enter(submission: Submission, *, principal: Principal, questionnaire: dict[str, Any] | None) -> None:
    manifest = peek_manifest(submission.archive)
    if manifest is not None:
        _describe(submission, manifest)
    try:
        with transaction.atomic():
            submission.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            _("Version %(version)s of “%(name)s” is already being reviewed.")
            % {"version": submission.plugin_version, "name": submission.plugin_name},
            code="version-taken",
            hint=_("Withdraw that submission, or raise the version number."),
        ) from error
    note(submission, principal=principal, kind=Kind.STATE, code="uploaded", to_state=str(State.UPLOADED))
    record(
        principal=principal,
        action="review.submission.upload",
        target=submission.ref,
        tenant_id=submission.tenant_id,
        details={"size_bytes": submission.size_bytes},
    )
    if questionnaire is not None and submission.needs_ethics:
        _request_approval(submission, principal=principal, questionnaire=questionnaire)
    start_checks(submission, principal=principal)


def _describe(submission: Submission, manifest: Manifest) -> None:
    if name_is_taken(manifest.name, tenant_id=submission.tenant_id):
        raise Conflict(
            _("The plugin name “%(name)s” belongs to another partner.") % {"name": manifest.name},
            code="name-taken",
            hint=_("Choose another name in plugin.json."),
        )
    if version_in_use(manifest.name, manifest.version, tenant_id=submission.tenant_id):
        raise Conflict(
            _("There already is a version %(version)s of “%(name)s”.")
            % {"version": manifest.version, "name": manifest.name},
            code="version-taken",
            hint=_("Raise the version number in plugin.json."),
        )
    risk = manifest.risk()
    submission.plugin_name = manifest.name
    submission.plugin_version = manifest.version
    submission.purpose = manifest.purpose
    submission.risk_level = str(risk.level)
    submission.risk_reasons = [reason.as_json() for reason in risk.reasons]
    submission.needs_ethics = risk.high_risk_purpose


@transaction.atomic
def answer_questionnaire(
    *, principal: Principal, submission_id: UUID, questionnaire: dict[str, Any]
) -> Submission:
    """The publisher's answers about a high-risk purpose, for exactly the uploaded bytes."""
    submission = locked(submission_id)
    require(principal, "review.submission.answer", submission)
    if not submission.needs_ethics:
        raise Conflict(_("This version declares no high-risk purpose, so there is nothing to approve."))
    if submission.state in (*ENDED, State.APPROVED, State.PUBLISHING, State.PUBLISHED):
        raise Conflict(_("This submission has ended."))
    _request_approval(submission, principal=principal, questionnaire=questionnaire)
    return submission


def _request_approval(submission: Submission, *, principal: Principal, questionnaire: dict[str, Any]) -> None:
    approval = request_approval(
        principal=principal,
        subject=submission.ref,
        purpose=submission.purpose,
        questionnaire=questionnaire,
        tenant_id=submission.tenant_id,
    )
    add_model_card(approval, submission, principal=principal)
    note(submission, principal=principal, kind=Kind.ETHICS, code="ethics_requested")


@transaction.atomic
def claim(*, principal: Principal, submission_id: UUID) -> Submission:
    """A reviewer takes a submission for eight hours; claiming again renews it. Later, anyone may take it over."""
    submission = locked(submission_id)
    require(principal, "review.submission.claim", submission)
    reviewer = _reviewer(principal, submission)
    if submission.claimed_by_id == reviewer and submission.state == State.IN_REVIEW:
        submission.claim_expires_at = timezone.now() + CLAIM
        submission.save(update_fields=["claim_expires_at"])
        return submission
    expires = submission.claim_expires_at
    if submission.claimed_by_id and expires and expires > timezone.now():
        raise Conflict(
            _("Another reviewer has claimed this submission."),
            code="claimed",
            hint=_("It is free again when the claim is released or runs out."),
        )
    if submission.decisions.filter(reviewer_id=reviewer).exists():
        raise Conflict(
            _("You have decided on this submission; a second reviewer must be another person."),
            code="second-reviewer",
        )
    submission.claimed_by_id = reviewer
    submission.claim_expires_at = timezone.now() + CLAIM
    move(
        submission,
        State.IN_REVIEW,
        principal=principal,
        kind=Kind.CLAIM,
        code="claimed",
        also=["claimed_by", "claim_expires_at"],
    )
    return submission


@transaction.atomic
def release_claim(*, principal: Principal, submission_id: UUID) -> Submission:
    """Put a claimed submission back into the queue."""
    submission = locked(submission_id)
    require(principal, "review.submission.claim", submission)
    _own_claim(principal, submission)
    _clear_claim(submission)
    back = State.SECOND_REVIEW if _approvals(submission) else State.WAITING_FOR_REVIEW
    move(submission, back, principal=principal, kind=Kind.CLAIM, code="released", also=CLAIM_FIELDS)
    return submission


@transaction.atomic
def ask_publisher(*, principal: Principal, submission_id: UUID, message: str) -> Submission:
    """A question to the publisher, whose turn it then is. The claim is kept."""
    submission = locked(submission_id)
    require(principal, "review.submission.ask", submission)
    _own_claim(principal, submission)
    text = _text(message)
    move(submission, State.WAITING_FOR_PUBLISHER, principal=principal, kind=Kind.QUESTION, message=text)
    return submission


@transaction.atomic
def answer_reviewer(*, principal: Principal, submission_id: UUID, message: str) -> Submission:
    """The publisher's answer; the submission goes back to the reviewer who asked."""
    submission = locked(submission_id)
    require(principal, "review.submission.answer", submission)
    text = _text(message)
    submission.claim_expires_at = timezone.now() + CLAIM
    if submission.state != State.WAITING_FOR_PUBLISHER:
        raise Conflict(_("No question of a reviewer is open."))
    move(
        submission,
        State.IN_REVIEW,
        principal=principal,
        kind=Kind.ANSWER,
        code="answered",
        message=text,
        also=["claim_expires_at"],
    )
    return submission


@transaction.atomic
def decide(
    *, principal: Principal, submission_id: UUID, approve: bool, reason: str, purpose: str = ""
) -> Submission:
    """A reviewer's verdict with a reason. Nobody decides on an upload of their own; high risk needs two reviewers.

    One refusal ends the submission. With all approvals it goes to publication, or waits for the ethics office. Who
    approves states what it is for: as declared ("") or a high-risk `purpose`, which then has all its consequences.
    """
    submission = locked(submission_id)
    require(principal, "review.submission.decide", submission)
    reviewer = _reviewer(principal, submission)
    _own_claim(principal, submission)
    text = _text(reason)
    if approve and purpose not in ("", submission.purpose):
        correct_purpose(submission, purpose, principal=principal)
    try:
        with transaction.atomic():
            ReviewDecision.objects.create(
                tenant_id=submission.tenant_id,
                submission=submission,
                submitted_by_id=submission.uploaded_by_id,
                reviewer_id=reviewer,
                approve=approve,
                reason=text,
                sha256=submission.sha256,
            )
    except IntegrityError as error:
        raise Conflict(_("You have decided on this submission already."), code="second-reviewer") from error
    _clear_claim(submission)
    if not approve:
        move(
            submission,
            State.REJECTED,
            principal=principal,
            kind=Kind.DECISION,
            message=text,
            also=CLAIM_FIELDS,
        )
        _end_version(submission, principal=principal, target="rejected", reason=text)
        return submission
    # What a reviewer writes while approving is for the house; the publisher reads the step.
    if _approvals(submission) < submission.approvals_needed:
        target = State.SECOND_REVIEW
    elif submission.needs_ethics and not is_approved(submission.ref):
        target = State.WAITING_FOR_ETHICS
    else:
        target = State.APPROVED
    note(
        submission,
        principal=principal,
        kind=Kind.DECISION,
        code="verdict",
        message=text,
        publisher_visible=False,
    )
    move(submission, target, principal=principal, kind=Kind.DECISION, also=CLAIM_FIELDS)
    if target == State.APPROVED:
        release_for_publication(submission, principal=principal)
    return submission


@transaction.atomic
def withdraw(*, principal: Principal, submission_id: UUID, reason: str = "") -> Submission:
    """The publisher takes the submission back; possible until it is approved."""
    submission = locked(submission_id)
    require(principal, "review.submission.withdraw", submission)
    _clear_claim(submission)
    move(submission, State.WITHDRAWN, principal=principal, message=reason.strip(), also=CLAIM_FIELDS)
    _end_version(submission, principal=principal, target="withdrawn", reason=reason)
    if submission.needs_ethics:
        void_approvals(principal=principal, subject=submission.ref, reason=_("The submission was withdrawn."))
    return submission


def release_for_publication(submission: Submission, *, principal: Principal) -> None:
    """Hand an approved submission's version to the catalogue, which starts signing and publishing."""
    if submission.version_id is None:
        raise Conflict(_("The submission has no version to publish."))
    approve_version(principal=principal, version_id=submission.version_id, approvals=_approvals(submission))


CLAIM_FIELDS = ["claimed_by", "claim_expires_at"]


def _clear_claim(submission: Submission) -> None:
    submission.claimed_by_id = None
    submission.claim_expires_at = None


def _approvals(submission: Submission) -> int:
    return submission.decisions.filter(approve=True).values("reviewer").distinct().count()


def _end_version(submission: Submission, *, principal: Principal, target: str, reason: str) -> None:
    if submission.version_id is not None:
        end_version(principal=principal, version_id=submission.version_id, target=target, reason=reason)


def _reviewer(principal: Principal, submission: Submission) -> UUID:
    person = principal.accountable_user_id
    if person is None or person == submission.uploaded_by_id:
        raise Conflict(
            _("This is your own submission, so somebody else must review it."), code="own-submission"
        )
    return person


def _own_claim(principal: Principal, submission: Submission) -> None:
    if submission.state != State.IN_REVIEW or submission.claimed_by_id != principal.accountable_user_id:
        raise Conflict(
            _("You have not claimed this submission."),
            code="not-claimed",
            hint=_("Claim it first, so that two reviewers do not work on the same thing."),
        )


def _text(message: str) -> str:
    text = message.strip()
    if not text:
        raise InvalidInput(_("Write a text; the other side needs to know why."))
    if len(text) > MAX_MESSAGE:
        raise InvalidInput(_("At most %(count)d characters.") % {"count": MAX_MESSAGE})
    return text
