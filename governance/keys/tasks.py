"""Background work of keys."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from governance.keys import services
from governance.tenants.tasks import TenantTask


@shared_task(name="keys.rewrap", base=TenantTask)
def rewrap(tenant_id: str) -> None:
    """Wrap a tenant's data keys with its new wrapping key."""
    services.rewrap(UUID(tenant_id))


@shared_task(name="keys.rewrap_all", base=TenantTask)
def rewrap_all() -> None:
    """Take up what was interrupted."""
    services.rewrap_all()


@shared_task(name="keys.rotate_due", base=TenantTask)
def rotate_due() -> None:
    """Rotate data keys that are old or have sealed a lot."""
    services.rotate_due()


@shared_task(name="keys.re_encrypt", base=TenantTask)
def re_encrypt(job_id: str, tenant_id: str) -> None:
    """One step of a re-encryption."""
    services.step(UUID(job_id), UUID(tenant_id))


@shared_task(name="keys.resume_stalled", base=TenantTask)
def resume_stalled() -> None:
    """Take up re-encryptions that nobody works on."""
    services.resume_stalled()


@shared_task(name="keys.erase", base=TenantTask)
def erase() -> None:
    """Erase destroyed wrapping keys at their providers."""
    services.erase_destroyed()
