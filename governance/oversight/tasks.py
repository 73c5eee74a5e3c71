"""Background work of oversight."""

from celery import shared_task

from governance.oversight import tasking, withholding
from governance.tenants.tasks import TenantTask


@shared_task(name="oversight.escalate_overdue", base=TenantTask)
def escalate_overdue() -> None:
    """Tell administrators what nobody decided in time."""
    tasking.escalate_overdue()


@shared_task(name="oversight.lapse_withheld", base=TenantTask)
def lapse_withheld() -> None:
    """End what nobody confirmed in time, and what is kept no longer."""
    withholding.lapse_withheld()
