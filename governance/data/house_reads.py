"""What the house itself reads of restricted content: a model that is loaded, a file that a worker computes on.

Nobody is asked for these readings, so no decision keeps them. Each is one entry of the system's in the tenant's log,
with the kind of process that reads; the readings of a request or of a piece are none of their own.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from uuid import UUID

from django.db import transaction

from governance.access.facts import facts_of
from governance.audit.services import RECORDED_LABELS, record_read
from governance.principals import SYSTEM
from governance.process import process_kind
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

ACTION = "data.asset.read"
MAX_REMEMBERED = 10_000

# What this process has said already of work that opens the same thing piece by piece.
_said: dict[tuple[UUID, str, str, str], None] = {}
_lock = threading.Lock()


def keep_house_read(target: ObjectRef, *, tenant_id: UUID, use: str, once: bool = False) -> None:
    """Keep that the house reads `target` for `use`, where its label is restricted; call it before the bytes are used.

    In the caller's transaction, or in one of its own, from any thread. `once` is for work that opens the same thing
    for every piece of it: this process then says it once for each use. Raises what the database raises: what cannot be
    kept is not read.
    """
    label = str(facts_of(target, tenant_id).get("label", ""))
    if label not in RECORDED_LABELS:
        return
    key = (tenant_id, target.type, target.id, use)
    if once and key in _said:
        return
    with tenant_context(tenant_id), transaction.atomic():
        record_read(
            principal=replace(SYSTEM, tenant_id=tenant_id),
            action=ACTION,
            target=target,
            label=label,
            tenant_id=tenant_id,
            details={"use": use, "process": process_kind()},
        )
        if once:
            transaction.on_commit(partial(_remember, key))


def forget() -> None:
    """Say everything again: for tests, whose database is emptied between them."""
    with _lock:
        _said.clear()


def _remember(key: tuple[UUID, str, str, str]) -> None:
    with _lock:
        if len(_said) >= MAX_REMEMBERED:
            _said.clear()
        _said[key] = None
