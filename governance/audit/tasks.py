"""Background work of the audit log."""

from uuid import UUID

from celery import shared_task

from governance.audit import heads, partitions, retention, runs
from governance.tenants.tasks import TenantTask


@shared_task(name="audit.sign_heads", base=TenantTask)
def sign_heads() -> None:
    """Sign the ends of the chains that moved."""
    heads.sign_heads()


@shared_task(name="audit.make_partitions", base=TenantTask)
def make_partitions() -> None:
    """Make the next months' partitions."""
    partitions.make_partitions()


@shared_task(name="audit.retain", base=TenantTask)
def retain() -> None:
    """Remove what no retention and no hold keeps."""
    retention.retain()


@shared_task(name="audit.verify_all", base=TenantTask)
def verify_all() -> None:
    """Have every chain verified."""
    runs.verify_all()


@shared_task(name="audit.verify_chain", base=TenantTask, when_revoked=staticmethod(runs.end_revoked))
def verify_chain(verification_id: str) -> None:
    """Verify one chain and keep the result."""
    runs.run_verification(UUID(verification_id))
