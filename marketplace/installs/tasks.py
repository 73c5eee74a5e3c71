"""Background work of installations."""

from uuid import UUID

from celery import shared_task

from governance.tenants.tasks import TenantTask
from marketplace.installs import completing


@shared_task(name="installs.complete", base=TenantTask, when_revoked=staticmethod(completing.end_revoked))
def complete(installation_id: str) -> None:
    """Download, verify, unpack and register."""
    completing.complete(installation_id=UUID(installation_id))


@shared_task(name="installs.clear", base=TenantTask)
def clear(installation_id: str) -> None:
    """Retire what an uninstalled plugin left behind."""
    completing.clear(installation_id=UUID(installation_id))


@shared_task(name="installs.resume_stalled", base=TenantTask)
def resume_stalled() -> None:
    """Send again what a lost worker has left."""
    completing.resume_stalled()
