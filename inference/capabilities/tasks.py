"""Background work of the base capabilities."""

from celery import shared_task

from governance.tenants.tasks import TenantTask
from inference.capabilities.services import add_where_missing


@shared_task(name="capabilities.add", base=TenantTask)
def add_to_new_organisations() -> None:
    """Bring them into organisations that were made since."""
    add_where_missing()
