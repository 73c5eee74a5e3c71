"""Entries wait for the end of their transaction and are inserted together: one statement for each chain.

The head of a chain is locked as the last thing before the commit, so writers of a chain wait for each other's insert
and never for the rest of a transaction, and several chains are locked in one order. Whoever looks at the log within the
transaction finds its entries: they are written before the first statement that names the log's tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

from governance.audit.chain import GENESIS, entry_hash
from governance.audit.models import AuditEntry, AuditHead
from governance.tenants.context import RowScope, current_scope, row_scope

# Clocks of several machines differ a little, and are set back a little; within this, time does not run backwards in a
# chain. Beyond it the clock is told as it is, and the numbers say what came first.
CLOCK_STEP = timedelta(minutes=5)
AT_ONCE = 1000  # a statement takes 65,535 parameters

_LOOKS = re.compile(r"audit_(auditentry|audithead|apply_cut)")
_COLUMNS = [str(field.column) for field in AuditEntry._meta.concrete_fields]
_VALUES = f"({', '.join(['%s'] * len(_COLUMNS))})"
_LOCK = "SELECT id, sequence, entry_hash, at FROM audit_audithead WHERE tenant_id = %s FOR UPDATE"
_APPEND = (
    f"WITH appended AS (INSERT INTO audit_auditentry ({', '.join(_COLUMNS)}) VALUES {{values}})"  # noqa: S608  names of our own columns
    " UPDATE audit_audithead SET sequence = %s, entry_hash = %s, at = %s WHERE id = %s"
)


def now() -> datetime:
    """The log's clock."""
    return timezone.now()


def hold(entry: AuditEntry) -> None:
    """Insert `entry` at the end of the open transaction, in the row scope of now; a rolled-back savepoint drops it.

    Its number, time and hashes are known from then on. Raises RuntimeError where this scope does not reach its chain,
    and DatabaseError where the transaction is broken.
    """
    scope = current_scope()
    if not scope.platform and scope.tenant_id != entry.tenant_id:
        raise RuntimeError("The present row-security context does not reach this chain.")
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    wrapper.ensure_connection()
    wrapper.validate_no_broken_transaction()  # as a statement would: what cannot be kept any more is refused now
    held = next((known for known in wrapper.held if isinstance(known, HeldEntries)), None)
    if held is None:
        held = HeldEntries(wrapper)
    held.add(Waiting(entry, scope, frozenset(wrapper.savepoint_ids)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry with the row scope and the savepoints in which it was made."""

    entry: AuditEntry
    scope: RowScope
    made_in: frozenset[str | None]


class HeldEntries:
    """The entries of one connection's open transaction: a `governance.tenants.holding.Held`."""

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        self._waiting: list[Waiting] = []
        # Written in a savepoint within that of their making, with the savepoints of then: it may yet be rolled back.
        self._deeper: list[tuple[Waiting, frozenset[str | None]]] = []
        wrapper.held.append(self)

    def add(self, *more: Waiting) -> None:
        """Let them wait."""
        if more and not self._waiting:
            # At the front: whoever wraps statements for a while takes its own wrapper from the end.
            self._wrapper.execute_wrappers.insert(0, self._before)
        self._waiting += more

    def write(self) -> None:
        """Insert all that wait, chain by chain."""
        waiting, present = self._taken(), frozenset(self._wrapper.savepoint_ids)
        self._deeper += [(one, present) for one in waiting if not present <= one.made_in]
        chains: dict[UUID, list[Waiting]] = {}
        for one in waiting:
            chains.setdefault(one.entry.tenant_id, []).append(one)
        for chain in sorted(chains):
            scope, entries = chains[chain][0].scope, [one.entry for one in chains[chain]]
            if scope == current_scope():
                self._append(chain, entries)
            else:
                with row_scope(scope):
                    self._append(chain, entries)

    def drop(self, savepoint: str | None) -> None:
        """Forget those made since a savepoint, or all; what was made before and written in it waits again."""
        waiting, deeper = self._taken(), self._deeper
        self._deeper = []
        if savepoint is None:
            self._wrapper.held.remove(self)
            return
        self._deeper = [(one, at) for one, at in deeper if savepoint not in at]
        again = [one for one, at in deeper if savepoint in at]
        self.add(*(one for one in [*again, *waiting] if savepoint not in one.made_in))

    def _taken(self) -> list[Waiting]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._wrapper.execute_wrappers.remove(self._before)
        return waiting

    def _before(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self._waiting and _LOOKS.search(sql if isinstance(sql, str) else str(sql)):
            self.write()
        return execute(sql, params, many, context)

    def _append(self, chain: UUID, entries: Sequence[AuditEntry]) -> None:
        with self._wrapper.cursor() as cursor:
            head_id, sequence, last_hash, last_at = _locked_head(cursor, chain)
            for entry in entries:
                sequence += 1
                entry.sequence, entry.at = sequence, _not_before(last_at, entry.at)
                entry.previous_hash = last_hash or GENESIS
                last_hash = entry.entry_hash = entry_hash(entry)
                last_at = entry.at
            for part in _parts(entries):
                last = part[-1]
                values = [value for entry in part for value in _row(entry)]
                sql = _APPEND.format(values=", ".join([_VALUES] * len(part)))
                cursor.execute(sql, [*values, last.sequence, last.entry_hash, last.at, head_id])
        for entry in entries:
            entry._state.adding = False
            entry._state.db = DEFAULT_DB_ALIAS


def _parts(entries: Sequence[AuditEntry]) -> Iterator[Sequence[AuditEntry]]:
    for start in range(0, len(entries), AT_ONCE):
        yield entries[start : start + AT_ONCE]


def _row(entry: AuditEntry) -> list[Any]:
    values = [getattr(entry, field.attname) for field in AuditEntry._meta.concrete_fields]
    values[_COLUMNS.index("details")] = json.dumps(entry.details)
    return values


def _locked_head(cursor: Any, chain: UUID) -> tuple[UUID, int, str, datetime | None]:
    cursor.execute(_LOCK, [chain])
    row = cursor.fetchone()
    if row is None:
        AuditHead.objects.bulk_create([AuditHead(tenant_id=chain)], ignore_conflicts=True)
        cursor.execute(_LOCK, [chain])
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("The present row-security context does not reach this chain.")
    head_id, sequence, last_hash, last_at = row
    return head_id, sequence, last_hash, last_at


def _not_before(last_at: datetime | None, at: datetime) -> datetime:
    """`at`, unless the chain went on meanwhile: then now, or the chain's time where the clock is a little back."""
    if last_at is None or at >= last_at:
        return at
    present = now()
    return last_at if present < last_at <= present + CLOCK_STEP else present
