"""Background work of identities."""

from celery import shared_task

from governance.identity.services import sessions
from governance.tenants.tasks import TenantTask


@shared_task(name="identity.drop_old_sessions", base=TenantTask)
def drop_old_sessions() -> None:
    """Forget sessions that ended three months ago."""
    sessions.drop_old()


@shared_task(name="identity.end_sessions", base=TenantTask)
def end_sessions() -> None:
    """End sessions that rested or lasted too long."""
    sessions.end_over()
