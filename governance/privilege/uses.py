"""Counting the use of every right, behind the requests: a sink of the decision recorder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson
from django.db import connection, transaction

from governance.access.recorder import Recorded
from governance.ids import uuid7
from governance.privilege.models import RightUse
from governance.tenants.context import platform_scope

_COLUMNS = {
    "id": "uuid",
    "tenant_id": "uuid",
    "account_id": "uuid",
    "kind": "text",
    "name": "text",
    "object_id": "text",
    "count": "bigint",
    "first_seen_at": "timestamptz",
    "last_used_at": "timestamptz",
}
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_TYPED = ", ".join(f'"{name}" {type_}' for name, type_ in _COLUMNS.items())
_TABLE = RightUse._meta.db_table
# An account that is gone meanwhile is joined away; its rights went with it.
_UPSERT = f"""
    INSERT INTO {_TABLE} ({_NAMES})
    SELECT {", ".join(f'u."{name}"' for name in _COLUMNS)}
    FROM json_to_recordset(%s::json) AS u({_TYPED})
    JOIN tenants_user a ON a.id = u.account_id JOIN tenants_tenant t ON t.id = u.tenant_id
    ON CONFLICT (tenant_id, account_id, kind, name, object_id) DO UPDATE
    SET count = {_TABLE}.count + EXCLUDED.count, last_used_at = GREATEST({_TABLE}.last_used_at, EXCLUDED.last_used_at)
"""  # noqa: S608 - constants of this module


def count(batch: Sequence[Recorded]) -> None:
    """Add what was recorded to the counts, in one statement. Only what was allowed and then done used a right."""
    uses: dict[tuple[UUID, UUID, str, str, str], tuple[int, float]] = {}
    for recorded in batch:
        principal, decision = recorded.decision.principal, recorded.decision
        if (
            not recorded.enforced
            or not decision.allow
            or principal.user_id is None
            or principal.tenant_id is None
        ):
            continue
        kind, _space, name = decision.rules[0].partition(" ")
        if kind not in ("role", "grant") or not name:
            continue
        target = decision.target.id if kind == "grant" and decision.target else ""
        key = (principal.tenant_id, principal.user_id, kind, name, target)
        before, last = uses.get(key, (0, 0.0))
        uses[key] = (before + recorded.count, max(last, recorded.last_at))
    write(uses)


def write(uses: dict[tuple[UUID, UUID, str, str, str], tuple[int, float]]) -> None:
    """Add counts and times of last use (seconds since the epoch; 0: never, the right was only seen)."""
    if not uses:
        return
    now = datetime.now(UTC)
    rows = [
        dict(zip(_COLUMNS, (uuid7(), *key, number, now, _time(last)), strict=True))
        for key, (number, last) in sorted(uses.items(), key=lambda item: [str(part) for part in item[0]])
    ]
    with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_UPSERT, [orjson.dumps(rows).decode()])


def watch(rights: Iterable[tuple[UUID, UUID, str, str, str]]) -> None:
    """Begin to watch rights that were not seen before: (tenant, account, kind, name, object id)."""
    write(dict.fromkeys(rights, (0, 0.0)))


def _time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
