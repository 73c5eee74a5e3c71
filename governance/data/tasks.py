"""Background work of the catalogue."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from governance.data import erasing, retention
from governance.tenants.tasks import TenantTask


@shared_task(name="data.erase", base=TenantTask)
def erase(erasure_id: str) -> None:
    """Do what is left of an erasure."""
    erasing.run_erasure(UUID(erasure_id))


@shared_task(name="data.resume_stalled", base=TenantTask)
def resume_stalled() -> None:
    """Take over erasures from workers that died."""
    erasing.resume_stalled()


@shared_task(name="data.keep_retention", base=TenantTask)
def keep_retention() -> None:
    """Erase what is past its time."""
    retention.keep_retention()
