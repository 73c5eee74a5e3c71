"""Background work of distribution, on the queue `publish`."""

from uuid import UUID

from celery import shared_task

from governance.tenants.tasks import TenantTask
from marketplace.distribution import services


@shared_task(name="distribution.publish", base=TenantTask)
def publish(plugin_version_id: str) -> None:
    """Sign and publish an approved version."""
    services.publish(plugin_version_id=UUID(plugin_version_id))


@shared_task(name="distribution.withdraw", base=TenantTask)
def withdraw(plugin_version_id: str) -> None:
    """Take a blocked version out of the repository."""
    services.withdraw(plugin_version_id=UUID(plugin_version_id))


@shared_task(name="distribution.refresh", base=TenantTask)
def refresh() -> None:
    """Sign again what would expire soon."""
    services.refresh()


@shared_task(name="distribution.resume_stalled", base=TenantTask)
def resume_stalled() -> None:
    """Send again what a lost worker has left."""
    services.resume_stalled()
