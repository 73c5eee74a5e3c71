"""Finding, opening and making data keys. What is sealed and how stands in `envelopes` and `streams`.

Asked for a tenant's key, the ring answers only within that tenant's row scope or in platform scope, remembered or not:
to anybody else the key does not exist.
"""

from __future__ import annotations

import re
import secrets
from functools import partial
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from governance.access.broadcast import announce
from governance.audit.services import record
from governance.ids import uuid7
from governance.keys.asking import asked_by
from governance.keys.errors import KeyDestroyed, KeysUnavailable, UnknownKey, WrongPurpose
from governance.keys.memory import OpenKey, memory, open_key
from governance.keys.models import DataKey, KeyState, WrappingKey
from governance.keys.providers import provider, provider_named
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_scope, tenant_context

DATA_KEY_BYTES = 32
PURPOSE = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
# Keys that this process made in transactions that may yet be rolled back: not to be remembered until they are kept.
_unkept: set[UUID] = set()


def key_for_sealing(tenant_id: UUID, purpose: str) -> OpenKey:
    """The active data key of a purpose; made at its first use, together with the tenant's wrapping key."""
    _check(tenant_id, purpose)
    return memory.active(tenant_id, purpose) or _load_active(tenant_id, purpose)


def key_for_reading(key_id: UUID, tenant_id: UUID, purpose: str) -> OpenKey:
    """The data key that an envelope names. Raises UnknownKey, WrongPurpose, KeyDestroyed or KeysUnavailable."""
    _check(tenant_id, purpose)
    key = memory.get(key_id) or _load(key_id, tenant_id)
    if key.tenant_id != tenant_id:
        raise UnknownKey
    if key.purpose != purpose:
        raise WrongPurpose
    return key


def wrapping_aad(row: DataKey) -> bytes:
    """What a wrapped data key is bound to: its tenant, its id and its purpose."""
    return b"openclaw data key 1" + row.tenant_id.bytes + row.id.bytes + row.purpose.encode()


def new_wrapping_key(tenant_id: UUID, *, principal: Principal) -> WrappingKey:
    """Make a tenant's next wrapping key. The caller holds `lock_tenant` and has retired the one before."""
    last = WrappingKey.objects.filter(tenant_id=tenant_id).order_by("-number").first()
    place = provider()
    row_id = uuid7()
    reference = f"tenant-{row_id.hex}"
    place.create_wrapping_key(reference)
    row = WrappingKey.objects.create(
        id=row_id,
        tenant_id=tenant_id,
        number=last.number + 1 if last else 1,
        provider=place.name,
        reference=reference,
    )
    record(
        principal=principal,
        action="keys.wrapping_key.create",
        target=ObjectRef.of(row),
        tenant_id=tenant_id,
        details={"number": row.number, "provider": row.provider} | _asked_by(principal),
    )
    return row


def new_data_key(wrapping_key: WrappingKey, purpose: str, *, principal: Principal) -> DataKey:
    """Make a purpose's next data key. The caller holds `lock_tenant` and has retired the one before."""
    rows = DataKey.objects.filter(tenant_id=wrapping_key.tenant_id, purpose=purpose)
    last = rows.order_by("-number").first()
    row = DataKey(
        tenant_id=wrapping_key.tenant_id,
        purpose=purpose,
        number=last.number + 1 if last else 1,
        wrapping_key=wrapping_key,
    )
    wrap(row, wrapping_key, secrets.token_bytes(DATA_KEY_BYTES))
    row.save(force_insert=True)
    _unkept.add(row.id)
    transaction.on_commit(partial(_unkept.discard, row.id))
    record(
        principal=principal,
        action="keys.data_key.create",
        target=ObjectRef.of(row),
        tenant_id=row.tenant_id,
        details={"purpose": purpose, "number": row.number, "wrapping_key": wrapping_key.number}
        | _asked_by(principal),
    )
    return row


def wrap(row: DataKey, wrapping_key: WrappingKey, data_key: bytes) -> None:
    """Put `data_key` into the row, under `wrapping_key`; nothing is saved but the count of uses."""
    row.wrapping_key = wrapping_key
    row.wrapped = provider_named(wrapping_key.provider).wrap(
        wrapping_key.reference, data_key, wrapping_aad(row)
    )
    WrappingKey.objects.filter(pk=wrapping_key.pk).update(uses=F("uses") + 1)


def unwrap(row: DataKey) -> bytes:
    """The bytes of a data key. Raises KeyDestroyed, KeysUnavailable, or Altered when the row was tampered with."""
    if row.state == KeyState.DESTROYED:
        raise KeyDestroyed
    place = provider_named(row.wrapping_key.provider)
    try:
        return place.unwrap(row.wrapping_key.reference, bytes(row.wrapped), wrapping_aad(row))
    except KeysUnavailable:
        memory.forget()  # what is remembered must not outlive the place it came from
        raise


def lock_tenant(tenant_id: UUID) -> None:
    """Be the only one that makes, rotates or destroys this tenant's keys until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"keys {tenant_id}"])


def announce_change(tenant_id: UUID) -> None:
    """Let every process forget the tenant's keys at commit, this one without waiting to hear of it."""
    announce("key", str(tenant_id))
    transaction.on_commit(partial(memory.forget, tenant_id))


def _asked_by(principal: Principal) -> dict[str, str]:
    """Whose work needed a key that the system makes; nothing where somebody makes it in their own name."""
    who = asked_by() if principal is SYSTEM else ""
    return {"asked_by": who} if who else {}


def _check(tenant_id: UUID, purpose: str) -> None:
    if not PURPOSE.fullmatch(purpose) or len(purpose) > 60:
        raise ValueError(f"{purpose!r} is no name for a purpose")
    scope = current_scope()
    if not scope.platform and scope.tenant_id != tenant_id:
        raise UnknownKey


def _load(key_id: UUID, tenant_id: UUID) -> OpenKey:
    generation = memory.generation
    with tenant_context(tenant_id), transaction.atomic():
        row = DataKey.objects.select_related("wrapping_key").filter(pk=key_id, tenant_id=tenant_id).first()
    if row is None:
        raise UnknownKey
    return _open(row, generation)


def _load_active(tenant_id: UUID, purpose: str) -> OpenKey:
    generation = memory.generation
    with tenant_context(tenant_id), transaction.atomic():
        row = _active(tenant_id, purpose) or _make_first(tenant_id, purpose)
    return _open(row, generation)


def _active(tenant_id: UUID, purpose: str) -> DataKey | None:
    rows = DataKey.objects.select_related("wrapping_key")
    return rows.filter(tenant_id=tenant_id, purpose=purpose, state=KeyState.ACTIVE).first()


def _make_first(tenant_id: UUID, purpose: str) -> DataKey:
    lock_tenant(tenant_id)
    # Whoever held the lock before may have made it.
    if row := _active(tenant_id, purpose):
        return row
    wrapping_key = WrappingKey.objects.filter(tenant_id=tenant_id, state=KeyState.ACTIVE).first()
    return new_data_key(
        wrapping_key or new_wrapping_key(tenant_id, principal=SYSTEM), purpose, principal=SYSTEM
    )


def _open(row: DataKey, generation: int) -> OpenKey:
    key = open_key(row.id, row.tenant_id, row.purpose, unwrap(row))
    if row.id not in _unkept:
        memory.put(key, active=row.state == KeyState.ACTIVE, generation=generation)
    return key
