"""Registered devices: known by their key, judged by what the company's device management says of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from oauth2_provider.models import get_access_token_model, get_refresh_token_model

from governance.access.decisions import decide, require
from governance.access.models import RegisteredDevice, TokenBinding
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Device, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

MAX_PER_ACCOUNT = 50


@transaction.atomic
def register_device(*, principal: Principal, name: str, jkt: str) -> RegisteredDevice:
    """Make the device with this key known as the principal's own. Its key must have been proven to the caller.

    Idempotent by key. Raises Conflict for a key that was revoked: a lost device's key stays lost.
    """
    require(principal, "access.device.register")
    if principal.user_id is None or principal.tenant_id is None:
        raise InvalidInput(_("A device belongs to an account of a tenant."))
    if not name.strip():
        raise InvalidInput(_("Give the device a name."))
    own = RegisteredDevice.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id)
    known = own.select_for_update(of=("self",)).filter(jkt=jkt).first()
    if known is not None:
        if known.revoked_at is not None:
            raise Conflict(
                _("This device was revoked."), hint=_("Make a new key on the device and register that.")
            )
        return known
    if own.filter(revoked_at=None).count() >= MAX_PER_ACCOUNT:
        raise Conflict(
            _("You have %(count)d devices.") % {"count": MAX_PER_ACCOUNT}, hint=_("Revoke one first.")
        )
    made = RegisteredDevice.objects.create(
        tenant_id=principal.tenant_id, user_id=principal.user_id, name=name.strip()[:120], jkt=jkt
    )
    record(
        principal=principal,
        action="access.device.register",
        target=ObjectRef.of(made),
        tenant_id=made.tenant_id,
        details={"key": jkt},
    )
    return made


@transaction.atomic
def set_posture(
    *,
    principal: Principal,
    device_id: UUID,
    posture: Device,
    source: str,
    at: datetime | None = None,
) -> RegisteredDevice:
    """Note what `source` says of a device as of `at` (default: now). News that is older than what is known is ignored.

    Every process hears of it: cached principals and open connections of the account are judged again.
    """
    device = _locked(device_id)
    require(principal, "access.device.manage", device)
    heard_at = min(at or timezone.now(), timezone.now())
    if device.revoked_at is not None:
        raise Conflict(_("This device was revoked."))
    if device.posture_at is not None and heard_at < device.posture_at:
        return device
    before = device.posture
    device.posture, device.posture_at, device.source = posture.value, heard_at, source.strip()[:120]
    device.save(update_fields=["posture", "posture_at", "source"])
    if before != device.posture:
        record(
            principal=principal,
            action="access.device.posture",
            target=ObjectRef.of(device),
            tenant_id=device.tenant_id,
            details={"from": before, "to": device.posture, "source": device.source},
        )
    return device


@transaction.atomic
def revoke_device(*, principal: Principal, device_id: UUID, reason: str = "") -> RegisteredDevice:
    """Forget a device for good, one's own or (for administrators) any of the tenant: its tokens end within a second."""
    device = _locked(device_id)
    if device.user_id == principal.user_id and device.tenant_id == principal.tenant_id:
        require(principal, "access.device.register", device)
    else:
        require(principal, "access.device.manage", device)
    if device.revoked_at is not None:
        return device
    device.revoked_at = timezone.now()
    device.save(update_fields=["revoked_at"])
    ended = _end_tokens(device)
    record(
        principal=principal,
        action="access.device.revoke",
        target=ObjectRef.of(device),
        tenant_id=device.tenant_id,
        reason=reason,
        details={"tokens_deleted": ended},
    )
    return device


def visible_devices(principal: Principal) -> QuerySet[RegisteredDevice]:
    """The devices that the principal may see: its own, or those of the tenant for who manages them. Newest first."""
    rows = RegisteredDevice.objects.select_related("user").order_by("-id")
    if decide(principal, "access.device.manage").allow:
        return rows
    if principal.tenant_id is None or principal.user_id is None:
        return rows.none()
    return rows.filter(tenant_id=principal.tenant_id, user_id=principal.user_id)


def _locked(device_id: UUID) -> RegisteredDevice:
    found = RegisteredDevice.objects.select_for_update(of=("self",)).filter(pk=device_id).first()
    if found is None:
        raise NotFound(_("There is no such device."))
    return found


def _end_tokens(device: RegisteredDevice) -> int:
    """Delete every token that is bound to the device's key, whichever application got it."""
    with platform_scope():
        bound = TokenBinding.objects.filter(tenant_id=device.tenant_id, jkt=device.jkt)
        access = list(bound.exclude(access_token=None).values_list("access_token_id", flat=True))
        refresh = list(bound.exclude(refresh_token=None).values_list("refresh_token_id", flat=True))
        get_refresh_token_model().objects.filter(pk__in=refresh).delete()
        get_access_token_model().objects.filter(pk__in=access).delete()
    return len(access) + len(refresh)
