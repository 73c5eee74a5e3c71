"""The hash chain itself, as pure functions: what is hashed, and in which form."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import Any

from governance.audit.models import AuditEntry

GENESIS = "0" * 64


def plain(value: Any) -> Any:
    """`value` as JSON that reads back identically from PostgreSQL's jsonb: no floats, no NUL, string keys."""
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value).replace("\x00", "")


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 (hex) over the previous hash and the canonical JSON of every other column."""
    body = {
        "tenant": str(entry.tenant_id),
        "sequence": entry.sequence,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": [entry.actor_kind, entry.actor_id, entry.actor_label],
        "action": entry.action,
        "target": [entry.target_type, entry.target_id, entry.target_label, entry.target_digest],
        "decision": entry.decision,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "details": entry.details,
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(entry.previous_hash.encode() + canonical.encode()).hexdigest()
