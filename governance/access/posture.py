"""What is known of the device in use: found by its key, and only as long as what was heard of it is fresh."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance.access.models import RegisteredDevice
from governance.principals import Device
from governance.tenants.context import platform_scope


def posture_of(*, tenant_id: UUID, user_id: UUID, jkt: str) -> Device:
    """The posture of an account's device in a tenant; unknown for a key that nobody registered or that was revoked."""
    if not jkt:
        return Device.UNKNOWN
    with platform_scope(), transaction.atomic():
        found = RegisteredDevice.objects.filter(
            tenant_id=tenant_id, user_id=user_id, jkt=jkt, revoked_at=None
        ).first()
    return Device.UNKNOWN if found is None else present_posture(found)


def present_posture(device: RegisteredDevice, *, now: datetime | None = None) -> Device:
    """The posture as it counts now: what was heard too long ago, or of a revoked device, is unknown."""
    fresh_since = (now or timezone.now()) - timedelta(seconds=settings.DEVICE_POSTURE_MAX_AGE_S)
    if device.revoked_at is not None or device.posture_at is None or device.posture_at < fresh_since:
        return Device.UNKNOWN
    return Device(device.posture)


def is_revoked(*, tenant_id: UUID, jkt: str) -> bool:
    """Whether a device with this key was revoked in the tenant: its key opens nothing there any more."""
    return RegisteredDevice.objects.filter(tenant_id=tenant_id, jkt=jkt).exclude(revoked_at=None).exists()
