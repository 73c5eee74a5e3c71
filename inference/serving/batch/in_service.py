"""Whether the model of a batch job may still compute: one that was held back or retired ends its jobs, too."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from governance.access.hub_caches import HeardCache
from inference.registry.models import ModelVersion

# Announced when a version is held, released or retired, and when the plugin that it came with is blocked.
_states: HeardCache[UUID, str] = HeardCache("endpoint", "plugin")


class OutOfService(Exception):
    """The model was taken out of service; the job that it computed ends and says so."""


def require_in_service(version: ModelVersion) -> None:
    """Raise OutOfService unless the version is ready now. Asks the database only after a change was announced.

    Call it where a shard begins and between its steps, in the row scope of the job's tenant.
    """
    state = _states.get(version.id, lambda: _state(version.id))
    if state != ModelVersion.State.READY:
        raise OutOfService(f"Version {version.version} of the model was taken out of service ({state}).")


def _state(version_id: UUID) -> str:
    with transaction.atomic():
        found = ModelVersion.objects.filter(pk=version_id).values_list("state", flat=True).first()
    return found or "gone"
