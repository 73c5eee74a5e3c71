"""Rotating keys. Re-encryption and destruction, the long and the final work, have files of their own."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.models import AuditEntry
from governance.audit.services import record
from governance.errors import DomainError, NotFound
from governance.keys import keyring
from governance.keys.destruction import (
    confirm_destruction,
    erase_destroyed,
    request_destruction,
    withdraw_destruction,
)
from governance.keys.errors import Unsealable
from governance.keys.models import DataKey, KeyState, WrappingKey
from governance.keys.reencryption import HEARD_S, cancel_re_encryption, re_encrypt, resume_stalled, step
from governance.keys.states import KEY_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from governance.tenants.tasks import enqueue

__all__ = [
    "HEARD_S",
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

log = logging.getLogger(__name__)

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

    Batch by batch, each kept by itself: what a token that goes away interrupts is taken up by the next call. A data key
    that does not unwrap is noted in its row and keeps no other waiting. Raises KeysUnavailable.
    """
    done, last = 0, None
    while True:
        count, last = _rewrap_batch(tenant_id, last)
        done += count
        if last is None:
            return done


def rewrap_all() -> int:
    """Take up what was interrupted, for every tenant; one whose keys are out of reach keeps no other waiting."""
    with platform_scope(), transaction.atomic():
        waiting = sorted(set(_to_rewrap().values_list("tenant_id", flat=True)))
    done = 0
    for tenant_id in waiting:
        try:
            done += rewrap(tenant_id)
        except (DomainError, OSError) as error:
            log.warning("data keys of tenant %s wait to be wrapped anew: %s", tenant_id, error)
    return done


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
    """Rotate every data key that has sealed enough or is old enough; returns how many. One that cannot be keeps no
    other waiting, and is tried by the next call.
    """
    with platform_scope(), transaction.atomic():
        due = list(
            DataKey.objects.filter(state=KeyState.ACTIVE)
            .filter(Q(uses__gte=MAX_USES) | Q(created_at__lte=timezone.now() - MAX_AGE))
            .values_list("tenant_id", "purpose")
        )
    done = 0
    for tenant_id, purpose in due:
        try:
            with tenant_context(tenant_id):
                rotate_data_key(principal=SYSTEM, tenant_id=tenant_id, purpose=purpose, reason="due")
        except (DomainError, OSError) as error:
            log.warning("the data key of %s of tenant %s is due but stays: %s", purpose, tenant_id, error)
        else:
            done += 1
    return done


def _retire(row: WrappingKey | DataKey, principal: Principal) -> None:
    KEY_STATES.check(row.state, KeyState.RETIRED, principal.roles)
    row.state = KeyState.RETIRED
    row.retired_at = timezone.now()
    row.save(update_fields=["state", "retired_at"])


def _to_rewrap() -> models.QuerySet[DataKey]:
    alive = DataKey.objects.exclude(state=KeyState.DESTROYED)
    return alive.filter(wrapping_key__state=KeyState.RETIRED)


def _rewrap_batch(tenant_id: UUID, after: UUID | None) -> tuple[int, UUID | None]:
    """How many were wrapped anew, and the last row that was looked at; None when there was none."""
    with tenant_context(tenant_id), transaction.atomic():
        active = WrappingKey.objects.filter(tenant_id=tenant_id, state=KeyState.ACTIVE).first()
        if active is None:
            return 0, None
        rows = _to_rewrap().filter(tenant_id=tenant_id).select_related("wrapping_key").order_by("id")
        rows = (rows.filter(id__gt=after) if after else rows).select_for_update(of=("self",))[:REWRAP_BATCH]
        done, last = 0, None
        for row in rows:
            last = row.id
            done += _rewrap_one(row, active)
        if done:
            record(
                principal=SYSTEM,
                action="keys.data_key.rewrap",
                target=ObjectRef.of(active),
                tenant_id=tenant_id,
                details={"data_keys": done, "wrapping_key": active.number},
            )
        return done, last


def _rewrap_one(row: DataKey, active: WrappingKey) -> bool:
    try:
        data_key = keyring.unwrap(row)
    except Unsealable as error:
        if row.problem != error.code:
            row.problem = error.code
            row.save(update_fields=["problem"])
            record(
                principal=SYSTEM,
                action="keys.data_key.rewrap",
                target=ObjectRef.of(row),
                tenant_id=row.tenant_id,
                decision=AuditEntry.Decision.DENY,
                reason=error.code,
                details={"purpose": row.purpose, "number": row.number},
            )
        return False
    keyring.wrap(row, active, data_key)
    row.problem = ""
    row.save(update_fields=["wrapping_key", "wrapped", "problem"])
    return True
