"""Background work of the review; each task calls one service."""

from uuid import UUID

from celery import shared_task

from governance.tenants.tasks import TenantTask
from marketplace.review import advancing, checking, keeping


@shared_task(name="review.run_check", base=TenantTask, when_revoked=staticmethod(checking.end_revoked))
def run_check(run_id: str) -> None:
    """One check of one submission."""
    checking.execute(run_id=UUID(run_id))


@shared_task(name="review.conclude_checks", base=TenantTask)
def conclude_checks(submission_id: str) -> None:
    """What follows when all checks have ended."""
    checking.conclude(submission_id=UUID(submission_id))


@shared_task(name="review.advance_submission", base=TenantTask)
def advance_submission(subject_id: str) -> None:
    """What follows from a decision of the ethics office."""
    advancing.advance_submission(submission_id=UUID(subject_id))


@shared_task(name="review.resume_stalled", base=TenantTask)
def resume_stalled() -> None:
    """Send again what a lost worker has left."""
    checking.resume_stalled()


@shared_task(name="review.seal_earlier", base=TenantTask)
def seal_earlier() -> None:
    """Seal uploads that an earlier release left unsealed."""
    keeping.seal_earlier()
