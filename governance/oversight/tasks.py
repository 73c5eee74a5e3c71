"""Background work of oversight."""

from celery import shared_task

from governance.oversight import tasking, withholding
from governance.tenants.tasks import TenantTask


@shared_task(name="oversight.escalate_overdue", base=TenantTask)
def escalate_overdue() -> None:
    """Tell administrators what nobody decided in time, and end what is withheld no longer."""
    tasking.escalate_overdue()
    withholding.lapse_withheld()
