"""Running the checks: one background task each, in parallel, and the conclusion when all have ended.

A run's row carries a lease. A worker that dies takes its message with it, but not the row: when the lease has run
out, `resume_stalled` sends the run again. Finishing twice is harmless, because a lease that was lost writes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import Conflict, DomainError, Unavailable
from governance.principals import SYSTEM, Principal
from governance.tenants.checkpoints import Cause, Revoked, checkpoint
from governance.tenants.context import platform_scope
from governance.tenants.tasks import enqueue
from marketplace.catalog.quarantine import UploadedArchive
from marketplace.catalog.services import register_version
from marketplace.review.archives import peek_manifest
from marketplace.review.checks.base import CheckContext, CheckOutcome, CheckStatus, run_check
from marketplace.review.checks.registry import get_check
from marketplace.review.lifecycle import Kind, due_date, locked, move
from marketplace.review.live import announce_change
from marketplace.review.models import CheckRun, Finding, Submission
from marketplace.review.settings import effective_checks

State = Submission.State
Run = CheckRun.State
LEASE = timedelta(seconds=30)
RENEW_S = 8.0
# A check that takes longer than this is given up, however alive its worker is.
LONGEST_S = 600.0
# How long a message may wait in a healthy queue before it is taken for lost.
QUEUE_PATIENCE = timedelta(seconds=120)
MAX_ATTEMPTS = 4


def start_checks(submission: Submission, *, principal: Principal) -> None:
    """Queue every enabled check of a locked submission that has just arrived, and begin."""
    move(submission, State.CHECKING, principal=principal)
    for position, item in enumerate(effective_checks()):
        if item.enabled:
            run = CheckRun.objects.create(
                tenant_id=submission.tenant_id,
                submission=submission,
                name=item.check.name,
                position=position,
                enforced=item.enforced,
                required=item.required,
                lease_until=timezone.now() + QUEUE_PATIENCE,
            )
            enqueue("review.run_check", queue="checks", cause=cause_of(submission), run_id=run.id)
    # Also when no check is enabled, so that the submission does not wait for ever.
    enqueue("review.conclude_checks", queue="checks", cause=Cause.house(None), submission_id=submission.id)


def execute(*, run_id: UUID) -> None:
    """Run one check and keep its outcome; then conclude. Doing it again after the end does nothing."""
    lease = _take(run_id)
    if lease is None:
        return
    run, archive = lease
    cause = cause_of(run.submission)
    try:
        checkpoint(cause)
        with CheckContext(archive=archive) as context, _lease_kept(run):
            outcome = run_check(get_check(run.name), context)
        checkpoint(cause)
    except Revoked as revoked:
        outcome = CheckOutcome(CheckStatus.ERROR, (), str(revoked))
    if _finish(run, outcome):
        conclude(submission_id=run.submission_id)


def end_revoked(reason: str, *, run_id: UUID | str) -> None:
    """Whoever uploaded the package may no longer: the check ends as an error that says so, and can be run again."""
    lease = _take(UUID(str(run_id)))
    if lease is not None and _finish(lease[0], CheckOutcome(CheckStatus.ERROR, (), reason)):
        conclude(submission_id=lease[0].submission_id)


def cause_of(submission: Submission) -> Cause:
    """Who has the package checked, from its row."""
    return Cause(
        kind="user",
        id=str(submission.uploaded_by_id),
        tenant_id=submission.tenant_id,
        accountable_user_id=submission.uploaded_by_id,
        action="review.submission.upload",
    )


@contextmanager
def _lease_kept(run: CheckRun) -> Iterator[None]:
    """Renew the lease beside the check; a worker that dies stops renewing, and the run is soon begun again."""
    done = threading.Event()

    def renew() -> None:
        end = time.monotonic() + LONGEST_S
        try:
            while not done.wait(RENEW_S) and time.monotonic() < end:
                with platform_scope(), transaction.atomic():
                    CheckRun.objects.filter(pk=run.pk, state=Run.RUNNING, attempts=run.attempts).update(
                        lease_until=timezone.now() + LEASE
                    )
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name="check-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _take(run_id: UUID) -> tuple[CheckRun, UploadedArchive] | None:
    now = timezone.now()
    with platform_scope(), transaction.atomic():
        run = (
            CheckRun.objects.select_for_update(of=("self",))
            .select_related("submission")
            .filter(pk=run_id)
            .first()
        )
        if run is None or run.state == Run.DONE or run.submission.state != State.CHECKING:
            return None
        if run.state == Run.RUNNING and run.lease_until and run.lease_until > now:
            return None
        run.state = Run.RUNNING
        run.attempts += 1
        run.started_at = now
        run.lease_until = now + LEASE
        run.check_version = get_check(run.name).version
        run.save(update_fields=["state", "attempts", "started_at", "lease_until", "check_version"])
        announce_change(run.submission_id)
        return run, run.submission.archive


def _finish(run: CheckRun, outcome: CheckOutcome) -> bool:
    with platform_scope(), transaction.atomic():
        mine = CheckRun.objects.select_for_update(of=("self",)).filter(
            pk=run.pk, state=Run.RUNNING, attempts=run.attempts
        )
        current = mine.first()
        if current is None:  # the lease was lost and somebody else has taken the run
            return False
        current.state = Run.DONE
        current.status = outcome.status.value
        current.message = outcome.message
        current.params = outcome.params
        current.measures = outcome.measures
        current.finished_at = timezone.now()
        current.lease_until = None
        current.save()
        current.findings.all().delete()
        Finding.objects.bulk_create(
            Finding(
                tenant_id=current.tenant_id,
                run=current,
                position=position,
                code=finding.code[:100],
                severity=str(finding.severity),
                message=finding.message,
                params=dict(finding.params),
                path=finding.path,
                line=finding.line,
                evidence=finding.evidence,
            )
            for position, finding in enumerate(outcome.findings)
        )
        announce_change(current.submission_id)
    return True


def conclude(*, submission_id: UUID) -> None:
    """When every run has ended, say what follows. Idempotent: only a submission that is being checked moves."""
    with platform_scope(), transaction.atomic():
        submission = locked(submission_id)
        runs = list(submission.check_runs.all())
        if submission.state != State.CHECKING or any(run.state != Run.DONE for run in runs):
            return
        rejected = [r.name for r in runs if r.enforced and r.status == CheckStatus.REJECTED]
        failed = [r.name for r in runs if r.required and r.status == CheckStatus.ERROR]
        if rejected:
            move(
                submission,
                State.CHECKS_FAILED,
                principal=SYSTEM,
                kind=Kind.CHECK,
                params={"checks": rejected},
            )
        elif failed:
            move(submission, State.CHECK_ERROR, principal=SYSTEM, kind=Kind.CHECK, params={"checks": failed})
        else:
            _admit(submission)


def _admit(submission: Submission) -> None:
    """The checks have nothing against it: enter the version and put the submission into the reviewers' queue."""
    try:
        manifest = peek_manifest(submission.archive)
        if manifest is None:
            raise Conflict(_("The package has no readable plugin.json."))
        with transaction.atomic():
            submission.version = register_version(
                principal=SYSTEM,
                tenant_id=submission.tenant_id,
                manifest=manifest,
                sha256=submission.sha256,
                size_bytes=submission.size_bytes,
                archive_path=submission.archive_path,
                submission_id=submission.id,
            )
    except Unavailable:  # the keys or the storage are away: the conclusion is drawn when they are back
        raise
    except DomainError as error:
        move(submission, State.CHECKS_FAILED, principal=SYSTEM, kind=Kind.CHECK, message=str(error))
        return
    submission.due_at = due_date(submission.risk_level)
    move(
        submission,
        State.WAITING_FOR_REVIEW,
        principal=SYSTEM,
        kind=Kind.CHECK,
        also=["version", "due_at"],
    )


@transaction.atomic
def retry_check(*, principal: Principal, submission_id: UUID, name: str = "") -> Submission:
    """Run again what ended in an error: one check, or all of them. Nothing else can be run again."""
    submission = locked(submission_id)
    require(principal, "review.submission.retry", submission)
    runs = submission.check_runs.filter(status=CheckRun.Status.ERROR)
    if name:
        runs = runs.filter(name=name)
    failed = list(runs)
    if not failed:
        raise Conflict(_("No check of this submission ended in an error, so there is nothing to run again."))
    move(submission, State.CHECKING, principal=principal, kind=Kind.CHECK, code="retried")
    for run in failed:
        run.state, run.status, run.attempts = Run.QUEUED, "", 0
        run.lease_until = timezone.now() + QUEUE_PATIENCE
        run.save(update_fields=["state", "status", "attempts", "lease_until"])
        enqueue("review.run_check", queue="checks", cause=cause_of(submission), run_id=run.id)
    return submission


def resume_stalled() -> int:
    """Send again every run whose lease has run out; after several lost workers it ends as an error."""
    now = timezone.now()
    with platform_scope(), transaction.atomic():
        stalled = (
            CheckRun.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(submission__state=State.CHECKING, lease_until__lte=now)
            .filter(Q(state=Run.RUNNING) | Q(state=Run.QUEUED))
        )
        count = 0
        for run in stalled:
            count += 1
            if run.attempts >= MAX_ATTEMPTS:
                run.state, run.status, run.finished_at, run.lease_until = (
                    Run.DONE,
                    CheckRun.Status.ERROR,
                    now,
                    None,
                )
                run.measures = {"exception": "WorkerLost"}
                run.save()
                enqueue("review.conclude_checks", queue="checks", submission_id=run.submission_id)
                continue
            run.state = Run.QUEUED
            run.lease_until = now + QUEUE_PATIENCE
            run.save(update_fields=["state", "lease_until"])
            enqueue("review.run_check", queue="checks", run_id=run.id)
        _resume_conclusions()
    return count


def _resume_conclusions() -> None:
    """A worker may die between its last outcome and the conclusion."""
    waiting = Submission.objects.filter(
        state=State.CHECKING, state_changed_at__lt=timezone.now() - timedelta(seconds=5)
    ).exclude(check_runs__state__in=[Run.QUEUED, Run.RUNNING])
    for submission_id in waiting.values_list("id", flat=True):
        enqueue("review.conclude_checks", queue="checks", submission_id=submission_id)
