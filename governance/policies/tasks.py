"""Background work of recorded decisions."""

from celery import shared_task

from governance.policies.records import drop_old_records
from governance.tenants.tasks import TenantTask


@shared_task(name="policies.drop_old_records", base=TenantTask)
def drop_old() -> None:
    """Keep recorded decisions within their retention."""
    drop_old_records()
