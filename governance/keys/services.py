"""Rotating keys. Re-encryption and destruction, the long and the final work, have files of their own."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import NotFound
from governance.keys import keyring
from governance.keys.destruction import (
    confirm_destruction,
    erase_destroyed,
    request_destruction,
    withdraw_destruction,
)
from governance.keys.models import DataKey, KeyState, WrappingKey
from governance.keys.reencryption import cancel_re_encryption, re_encrypt, resume_stalled, step
from governance.keys.states import KEY_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from governance.tenants.tasks import enqueue

__all__ = [
    "cancel_re_encryption",
    "confirm_destruction",
    "erase_destroyed",
    "re_encrypt",
    "request_destruction",
    "resume_stalled",
    "rewrap",
    "rotate_data_key",
    "rotate_due",
    "rotate_wrapping_key",
    "step",
    "withdraw_destruction",
]

# Far below the 2**32 messages that a key may seal with random nonces (NIST SP 800-38D, 8.3).
MAX_USES = 2**30
MAX_AGE = timedelta(days=365)
REWRAP_BATCH = 50


@transaction.atomic
def rotate_wrapping_key(*, principal: Principal, tenant_id: UUID, reason: str = "") -> WrappingKey:
    """Give a tenant a new wrapping key, at the provider now in use. Its data keys are wrapped anew behind the request.

    No sealed data is touched. The old key stays for reading backups until the tenant's keys are destroyed.
    """
    require(principal, "keys.key.rotate", tenant_id=tenant_id)
    keyring.lock_tenant(tenant_id)
    old = WrappingKey.objects.filter(tenant_id=tenant_id, state=KeyState.ACTIVE).first()
    if old is not None:
        _retire(old, principal)
    elif not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFound(_("There is no such tenant."))
    new = keyring.new_wrapping_key(tenant_id, principal=principal)
    record(
        principal=principal,
        action="keys.wrapping_key.rotate",
        target=ObjectRef.of(new),
        tenant_id=tenant_id,
        reason=reason,
        details={"from": old.number if old else None, "to": new.number, "provider": new.provider},
    )
    keyring.announce_change(tenant_id)
    enqueue("keys.rewrap", tenant_id=tenant_id)
    return new


def rewrap(tenant_id: UUID) -> int:
    """Wrap what still lies under a retired wrapping key with the active one; returns how many data keys.

    Batch by batch, each kept by itself: what a token that goes away interrupts is taken up by the next call.
    """
    done = 0
    while count := _rewrap_batch(tenant_id):
        done += count
    return done


def rewrap_all() -> int:
    """Take up what was interrupted, for every tenant."""
    with platform_scope(), transaction.atomic():
        waiting = set(_to_rewrap().values_list("tenant_id", flat=True))
    return sum(rewrap(tenant_id) for tenant_id in waiting)


@transaction.atomic
def rotate_data_key(*, principal: Principal, tenant_id: UUID, purpose: str, reason: str = "") -> DataKey:
    """Seal with a new data key from now on; what the old one sealed stays readable, and `re_encrypt` can move it."""
    require(principal, "keys.key.rotate", tenant_id=tenant_id)
    keyring.lock_tenant(tenant_id)
    old = DataKey.objects.filter(tenant_id=tenant_id, purpose=purpose, state=KeyState.ACTIVE).first()
    if old is None:
        raise NotFound(_("There is no key for this purpose yet; one is made when it is first needed."))
    _retire(old, principal)
    wrapping_key = WrappingKey.objects.get(tenant_id=tenant_id, state=KeyState.ACTIVE)
    new = keyring.new_data_key(wrapping_key, purpose, principal=principal)
    record(
        principal=principal,
        action="keys.data_key.rotate",
        target=ObjectRef.of(new),
        tenant_id=tenant_id,
        reason=reason,
        details={"purpose": purpose, "from": old.number, "to": new.number},
    )
    keyring.announce_change(tenant_id)
    return new


def rotate_due() -> int:
    """Rotate every data key that has sealed enough or is old enough; returns how many."""
    with platform_scope(), transaction.atomic():
        due = list(
            DataKey.objects.filter(state=KeyState.ACTIVE)
            .filter(Q(uses__gte=MAX_USES) | Q(created_at__lte=timezone.now() - MAX_AGE))
            .values_list("tenant_id", "purpose")
        )
    for tenant_id, purpose in due:
        with tenant_context(tenant_id):
            rotate_data_key(principal=SYSTEM, tenant_id=tenant_id, purpose=purpose, reason="due")
    return len(due)


def _retire(row: WrappingKey | DataKey, principal: Principal) -> None:
    KEY_STATES.check(row.state, KeyState.RETIRED, principal.roles)
    row.state = KeyState.RETIRED
    row.retired_at = timezone.now()
    row.save(update_fields=["state", "retired_at"])


def _to_rewrap() -> models.QuerySet[DataKey]:
    alive = DataKey.objects.exclude(state=KeyState.DESTROYED)
    return alive.filter(wrapping_key__state=KeyState.RETIRED)


def _rewrap_batch(tenant_id: UUID) -> int:
    with tenant_context(tenant_id), transaction.atomic():
        active = WrappingKey.objects.filter(tenant_id=tenant_id, state=KeyState.ACTIVE).first()
        if active is None:
            return 0
        rows = list(
            _to_rewrap()
            .filter(tenant_id=tenant_id)
            .select_related("wrapping_key")
            .select_for_update(of=("self",))[:REWRAP_BATCH]
        )
        for row in rows:
            keyring.wrap(row, active, keyring.unwrap(row))
            row.save(update_fields=["wrapping_key", "wrapped"])
        if rows:
            record(
                principal=SYSTEM,
                action="keys.data_key.rewrap",
                target=ObjectRef.of(active),
                tenant_id=tenant_id,
                details={"data_keys": len(rows), "wrapping_key": active.number},
            )
        return len(rows)
