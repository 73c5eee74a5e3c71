"""Keeping recorded decisions: one statement per batch, equal decisions of an hour in one row, gone after a week."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from governance.access.recorder import Recorded
from governance.audit.chain import plain
from governance.audit.services import platform_tenant_id
from governance.ids import uuid7
from governance.policies.models import DecisionRecord
from governance.tenants.context import platform_scope

MAX_REQUEST_BYTES = 16 * 1024
DROPPED_AT_ONCE = 10_000

# Rows are written in the order of their keys, so that two processes never wait for each other. A tenant that does not
# exist has no records.
UPSERT = """
    INSERT INTO policies_decisionrecord AS known (
        id, tenant_id, key, bucket, principal_kind, principal_id, principal_label, account_id, action,
        target_type, target_id, target_label, allow, enforced, rules, reasons, helps, policy_version, request,
        count, first_at, last_at)
    SELECT r.id, r.tenant_id, r.key, r.bucket, r.principal_kind, r.principal_id, r.principal_label, r.account_id,
        r.action, r.target_type, r.target_id, r.target_label, r.allow, r.enforced, r.rules, r.reasons, r.helps,
        r.policy_version, r.request, r.count, r.first_at, r.last_at
    FROM jsonb_to_recordset(%s::jsonb) AS r(
        id uuid, tenant_id uuid, key text, bucket timestamptz, principal_kind text, principal_id text,
        principal_label text, account_id uuid, action text, target_type text, target_id text, target_label text,
        allow boolean, enforced boolean, rules jsonb, reasons jsonb, helps jsonb, policy_version text, request jsonb,
        count bigint, first_at timestamptz, last_at timestamptz)
    JOIN tenants_tenant t ON t.id = r.tenant_id
    ORDER BY r.tenant_id, r.key, r.bucket
    ON CONFLICT (tenant_id, key, bucket) DO UPDATE SET
        count = known.count + EXCLUDED.count,
        first_at = LEAST(known.first_at, EXCLUDED.first_at),
        last_at = GREATEST(known.last_at, EXCLUDED.last_at),
        request = CASE WHEN known.request = '{}'::jsonb THEN EXCLUDED.request ELSE known.request END
"""


def keep(batch: Sequence[Recorded]) -> None:
    """The recorder's sink. The system's own decisions and those about nobody in particular are not kept."""
    kept = [item for item in batch if item.decision.principal.kind in ("user", "client")]
    if not kept:
        return
    try:
        with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(UPSERT, [json.dumps([_row(item) for item in kept])])
    finally:
        if not connection.in_atomic_block:
            connection.close()  # the recorder's thread needs none until its next batch


def drop_old_records() -> int:
    """Remove what is older than the retention, a bounded number at a time. Returns how many went."""
    before = timezone.now() - timedelta(days=settings.DECISION_RETENTION_DAYS)
    total = 0
    while True:
        with platform_scope(), transaction.atomic():
            old = DecisionRecord.objects.filter(last_at__lt=before).values("pk")[:DROPPED_AT_ONCE]
            count, _models = DecisionRecord.objects.filter(pk__in=old).delete()
        total += count
        if count < DROPPED_AT_ONCE:
            return total


def _row(item: Recorded) -> dict[str, Any]:
    decision = item.decision
    principal, target = decision.principal, decision.target
    # What somebody of another tenant was refused is told to their own tenant, not to the owner of the thing.
    owner = decision.tenant_id if principal.platform else principal.tenant_id
    request = plain(item.request)
    if len(json.dumps(request)) > MAX_REQUEST_BYTES:
        request = {}
    return {
        "id": str(uuid7()),
        "tenant_id": str(owner or principal.tenant_id or platform_tenant_id()),
        "key": item.key,
        "bucket": _time(item.first_at - item.first_at % 3600),
        "principal_kind": principal.kind,
        "principal_id": plain(principal.id)[:64],
        "principal_label": plain(principal.label)[:200],
        "account_id": str(principal.accountable_user_id) if principal.accountable_user_id else None,
        "action": plain(decision.action)[:100],
        "target_type": plain(target.type)[:100] if target else "",
        "target_id": plain(target.id)[:100] if target else "",
        "target_label": plain(target.label)[:200] if target else "",
        "allow": decision.allow,
        "enforced": item.enforced,
        "rules": plain(decision.rules),
        "reasons": plain(decision.reasons),
        "helps": plain(decision.helps),
        "policy_version": decision.policy_version[:40],
        "request": request,
        "count": item.count,
        "first_at": _time(item.first_at),
        "last_at": _time(item.last_at),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
