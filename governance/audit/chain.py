"""The hash chain itself, as pure functions: what is hashed and what is signed, and in which form."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from governance.audit.models import AuditEntry, ChainCut

GENESIS = "0" * 64


def plain(value: Any) -> Any:
    """`value` as JSON that reads back identically from PostgreSQL's jsonb.

    No floats, no NUL, no lone surrogates, string keys.
    """
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def canonical(body: dict[str, Any]) -> str:
    """JSON with sorted keys and no spaces: one text for one content."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def moment(at: datetime) -> str:
    """A time as it is hashed: UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def entry_hash(entry: AuditEntry, *, sequence: int | None = None) -> str:
    """SHA-256 (hex) over the previous hash and the canonical JSON of every other column.

    With `sequence`, the hash that the same entry would have under another number.
    """
    body = {
        "tenant": str(entry.tenant_id),
        "sequence": entry.sequence if sequence is None else sequence,
        "at": moment(entry.at),
        "actor": [entry.actor_kind, entry.actor_id, entry.actor_label],
        "action": entry.action,
        "target": [entry.target_type, entry.target_id, entry.target_label, entry.target_digest],
        "decision": entry.decision,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "details": entry.details,
    }
    return hashlib.sha256(entry.previous_hash.encode() + canonical(body).encode()).hexdigest()


def head_statement(*, tenant_id: UUID, sequence: int, entry_hash: str, at: datetime) -> bytes:
    """What a signed head says: at this time, the chain of this tenant ended here."""
    return canonical(
        {
            "statement": "openclaw-audit-head/1",
            "tenant": str(tenant_id),
            "sequence": sequence,
            "entry_hash": entry_hash,
            "at": moment(at),
        }
    ).encode()


def cut_statement(cut: ChainCut) -> bytes:
    """What a signed cut says: these entries were removed by retention, and the chain goes on from this hash."""
    return canonical(
        {
            "statement": "openclaw-audit-cut/1",
            "tenant": str(cut.tenant_id),
            "through": cut.through,
            "last_hash": cut.last_hash,
            "removed": cut.removed,
            "first_at": moment(cut.first_at),
            "last_at": moment(cut.last_at),
            "actor": [cut.actor_id, cut.actor_label],
            "at": moment(cut.at),
        }
    ).encode()
