"""Celery tasks of endpoints."""

from __future__ import annotations

from celery import shared_task

from governance.tenants.tasks import TenantTask
from inference.rollouts.controller import control_rollouts
from inference.rollouts.services import drop_old_outcomes


@shared_task(name="rollouts.drop_old_outcomes", base=TenantTask)
def drop_outcomes() -> None:
    """Keep the outcome records within their retention."""
    drop_old_outcomes()


@shared_task(name="rollouts.control", base=TenantTask)
def control() -> None:
    """Look at the running rollouts."""
    control_rollouts()
