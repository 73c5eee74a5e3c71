"""Background work of oversight."""

from celery import shared_task

from governance.oversight import tasking
from governance.tenants.tasks import TenantTask


@shared_task(name="oversight.escalate_overdue", base=TenantTask)
def escalate_overdue() -> None:
    """Tell administrators what nobody decided in time."""
    tasking.escalate_overdue()
