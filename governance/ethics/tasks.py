"""Background work of approvals."""

from celery import shared_task

from governance.ethics import services
from governance.tenants.tasks import TenantTask


@shared_task(name="ethics.expire", base=TenantTask)
def expire() -> None:
    """Mark approvals that have run out, and remind of those that will."""
    services.expire_approvals()
