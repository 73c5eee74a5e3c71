"""The row-security context: whose rows the present code may see.

The context is ambient (a `ContextVar`), and the database backend of this app (`governance.tenants.postgresql`) hands it
to PostgreSQL at the start of every transaction with `SET LOCAL`. No context, no rows; and outside a transaction there
is never a context, so nothing can leak through a pooled connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from psycopg import pq

__all__ = [
    "RowScope",
    "current_request_id",
    "current_scope",
    "platform_scope",
    "request_id",
    "tenant_context",
]


@dataclass(frozen=True, slots=True)
class RowScope:
    """What row security lets through: one tenant's rows, or (`platform`) every tenant's."""

    tenant_id: UUID | None = None
    platform: bool = False


NOTHING = RowScope()
_scope: ContextVar[RowScope] = ContextVar("openclaw_row_scope", default=NOTHING)
_request_id: ContextVar[str] = ContextVar("openclaw_request_id", default="")

SET_SCOPE = "SELECT set_config('openclaw.tenant', %s, true), set_config('openclaw.scope', %s, true)"


def scope_parameters(scope: RowScope) -> tuple[str, str]:
    """The two values that `SET_SCOPE` takes."""
    return (str(scope.tenant_id) if scope.tenant_id else "", "platform" if scope.platform else "")


def current_scope() -> RowScope:
    """The ambient row-security context."""
    return _scope.get()


def current_request_id() -> str:
    """The id that ties log lines, audit entries and background work to the request that caused them."""
    return _request_id.get()


@contextmanager
def request_id(value: str) -> Iterator[None]:
    """Make `value` the ambient request id."""
    token = _request_id.set(value)
    try:
        yield
    finally:
        _request_id.reset(token)


@contextmanager
def row_scope(scope: RowScope) -> Iterator[None]:
    """Make `scope` the ambient context: at once in a transaction that is open, else from the next one on."""
    previous = _scope.get()
    token = _scope.set(scope)
    entered_in_transaction = connection.in_atomic_block
    try:
        # Inside: a connection that breaks here must not leave its scope to whatever runs next in this thread.
        if entered_in_transaction:
            _apply(scope)
        yield
    finally:
        _scope.reset(token)
        # In a failed transaction nothing can be executed, nor need it be: the rollback that must follow
        # takes SET LOCAL back as well.
        if entered_in_transaction and connection.in_atomic_block and not _failed():
            _apply(previous)


def tenant_context(tenant_id: UUID) -> AbstractContextManager[None]:
    """See and write the rows of one tenant only."""
    return row_scope(RowScope(tenant_id=tenant_id))


def platform_scope(tenant_id: UUID | None = None) -> AbstractContextManager[None]:
    """See and write rows of every tenant: for platform roles and the system itself, never a tenant's request."""
    return row_scope(RowScope(tenant_id=tenant_id, platform=True))


def _apply(scope: RowScope) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SET_SCOPE, scope_parameters(scope))


def _failed() -> bool:
    raw = connection.connection
    return (
        raw is None
        or raw.info.transaction_status == pq.TransactionStatus.INERROR
        or connection.needs_rollback
    )
