"""The log as a file, piece by piece: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Literal

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from governance.audit.chain import moment
from governance.audit.gate import require
from governance.audit.models import AuditEntry
from governance.audit.selectors import Page, Search, page_of, search
from governance.audit.services import record
from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope

Format = Literal["csv", "jsonl"]
CONTENT_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
PIECE_ROWS = 500
COLUMNS = (
    "tenant",
    "sequence",
    "at",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "decision",
    "reason",
    "target_type",
    "target_id",
    "target_label",
    "target_digest",
    "request_id",
    "details",
    "previous_hash",
    "entry_hash",
    "id",
)
# A spreadsheet takes a cell that begins like this for a formula, and may run it.
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


@transaction.atomic
def begin_export(*, principal: Principal, wanted: Search, form: Format) -> Search:
    """Decide and record the export; returns the search with a fixed end, so that it holds nothing that comes later."""
    require(principal, "audit.entry.export", tenant_id=wanted.tenant or principal.tenant_id)
    fixed = replace(wanted, until=wanted.until or timezone.now())
    record(
        principal=principal,
        action="audit.entry.export",
        details={"format": form, "search": fixed.as_details()},
    )
    return fixed


def pieces(*, principal: Principal, wanted: Search, form: Format) -> Iterator[bytes]:
    """The file, newest entries first. Each piece is read in a transaction of its own, as the principal."""
    yield header(form)
    after = ""
    while True:
        page = _read(principal, wanted, after)
        yield body(form, page.rows)
        if not page.next:
            return
        after = page.next


async def pieces_async(*, principal: Principal, wanted: Search, form: Format) -> AsyncIterator[bytes]:
    """`pieces` for a server that serves many at once."""
    yield header(form)
    after = ""
    while True:
        page = await sync_to_async(_read)(principal, wanted, after)
        yield body(form, page.rows)
        if not page.next:
            return
        after = page.next


def header(form: Format) -> bytes:
    """What stands before the first entry."""
    return _csv([COLUMNS]) if form == "csv" else b""


def body(form: Format, rows: list[AuditEntry]) -> bytes:
    """Entries as bytes."""
    values = [_values(row) for row in rows]
    if form == "jsonl":
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in values)
    return _csv([[_cell(row[name]) for name in COLUMNS] for row in values])


def _read(principal: Principal, wanted: Search, after: str) -> Page:
    with (
        row_scope(RowScope(tenant_id=principal.tenant_id, platform=principal.platform)),
        transaction.atomic(),
    ):
        return page_of(search(principal, wanted), after=after, size=PIECE_ROWS)


def _values(entry: AuditEntry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in COLUMNS if name not in ("tenant", "at", "id")}
    return {"tenant": str(entry.tenant_id), "at": moment(entry.at), "id": str(entry.id), **values}


def _cell(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINS) else text


def _csv(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
