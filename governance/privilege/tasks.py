"""Background work of rights."""

from celery import shared_task

from governance.privilege import removing, services
from governance.tenants.tasks import TenantTask


@shared_task(name="privilege.end_due", base=TenantTask)
def end_due() -> None:
    """End elevations whose time is over."""
    services.end_due()


@shared_task(name="privilege.propose_removals", base=TenantTask)
def propose_removals() -> None:
    """Propose rights for removal that nobody used."""
    removing.propose_removals()
