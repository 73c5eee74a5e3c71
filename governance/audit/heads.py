"""Signing the ends of chains on schedule, and giving them away for keeping where the database's owner cannot reach."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _
from securesystemslib.signer import Key

from governance.audit import signing
from governance.audit.chain import head_statement, moment
from governance.audit.models import AuditHead, SignedHead
from governance.errors import InvalidInput
from governance.tenants.context import platform_scope

log = logging.getLogger(__name__)

FORMAT = "openclaw-audit-heads/1"


def sign_heads() -> int:
    """Sign the end of every chain that moved since it was signed last; returns how many were signed.

    Each is also written to the process's log, which goes where the database's superuser does not.
    """
    newest = SignedHead.objects.filter(tenant_id=OuterRef("tenant_id")).order_by("-sequence")
    signed = 0
    with platform_scope():
        with transaction.atomic():
            heads = AuditHead.objects.annotate(signed=Subquery(newest.values("sequence")[:1]))
            moved = [head for head in heads if head.sequence > (head.signed or 0)]
        for head in moved:
            with transaction.atomic():
                signed += _sign(head)
    return signed


def _sign(head: AuditHead) -> int:
    at = timezone.now()
    statement = head_statement(
        tenant_id=head.tenant_id, sequence=head.sequence, entry_hash=head.entry_hash, at=at
    )
    seal = signing.seal(head.tenant_id, statement)
    made = SignedHead(
        tenant_id=head.tenant_id,
        sequence=head.sequence,
        entry_hash=head.entry_hash,
        at=at,
        key_name=seal.key_name,
        key_id=seal.key_id,
        algorithm=seal.algorithm,
        signature=seal.signature,
    )
    SignedHead.objects.bulk_create([made], ignore_conflicts=True)
    log.info("audit head tenant=%s sequence=%d hash=%s", head.tenant_id, head.sequence, head.entry_hash)
    return 1


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A signed head as it was exported."""

    tenant_id: UUID
    sequence: int
    entry_hash: str
    at: datetime
    seal: signing.Seal

    def signature_holds(self, keys: dict[str, Key]) -> bool:
        """Whether one of these keys of the tenant signed it."""
        statement = head_statement(
            tenant_id=self.tenant_id, sequence=self.sequence, entry_hash=self.entry_hash, at=self.at
        )
        own = self.seal.key_name == signing.key_name(self.tenant_id)
        return own and signing.holds(self.seal, statement, keys=keys)


def export_heads(*, tenant: str = "", every: bool = False) -> dict[str, Any]:
    """The newest signed head of each chain (`every`: all of them) with the public keys, as JSON for keeping."""
    with platform_scope(), transaction.atomic():
        rows = SignedHead.objects.select_related("tenant").order_by("tenant__slug", "-sequence")
        if tenant:
            rows = rows.filter(tenant__slug=tenant)
        if not every:
            rows = rows.order_by("tenant__slug", "tenant_id", "-sequence").distinct(
                "tenant__slug", "tenant_id"
            )
        heads = list(rows)
    keys = {name: signing.public_keys(name) for name in sorted({head.key_name for head in heads})}
    return {
        "format": FORMAT,
        "written_at": moment(timezone.now()),
        "heads": [
            {
                "tenant": str(head.tenant_id),
                "slug": head.tenant.slug,
                "sequence": head.sequence,
                "entry_hash": head.entry_hash,
                "at": moment(head.at),
                "key_name": head.key_name,
                "key_id": head.key_id,
                "algorithm": head.algorithm,
                "signature": head.signature,
            }
            for head in heads
        ],
        "public_keys": {
            name: {key_id: key.to_dict() for key_id, key in known.items()} for name, known in keys.items()
        },
    }


def read_heads(text: str) -> dict[UUID, list[KeptHead]]:
    """The heads of a file that `export_heads` wrote, by tenant. Raises InvalidInput for any other text."""
    try:
        body = json.loads(text)
        if body["format"] != FORMAT:
            raise ValueError
        return _by_tenant(body["heads"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            _("This is no file of signed heads."),
            hint=_("Write one with: openclaw audit heads --json > heads.json"),
        ) from error


def _by_tenant(heads: Iterable[dict[str, Any]]) -> dict[UUID, list[KeptHead]]:
    found: dict[UUID, list[KeptHead]] = {}
    for head in heads:
        kept = KeptHead(
            tenant_id=UUID(head["tenant"]),
            sequence=int(head["sequence"]),
            entry_hash=str(head["entry_hash"]),
            at=datetime.fromisoformat(head["at"]),
            seal=signing.Seal(
                str(head["key_name"]), str(head["key_id"]), str(head["algorithm"]), str(head["signature"])
            ),
        )
        found.setdefault(kept.tenant_id, []).append(kept)
    return found
