"""Which policies are in force, from the database: remembered per process until an announcement makes them doubtful.

Reads through a connection of its own, in one short transaction: a decision may be asked on an event loop, in a
transaction that has failed, or in one whose own changes to policies are not committed yet, and must mean what is in
force for everybody.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any
from uuid import UUID

import psycopg
from django.db import OperationalError

from governance.access.cedar.engine import PolicyBook, product_rules
from governance.access.hub import site_connection
from governance.access.hub_caches import HeardCache
from governance.tenants.context import SET_SCOPE

log = logging.getLogger(__name__)

MAX_TENANTS = 2_000
MAX_TEXTS = 500
IN_FORCE = """
    SELECT v.digest, v.text FROM policies_policyversion v JOIN tenants_tenant t ON t.id = v.tenant_id
    WHERE v.state = 'active' AND (t.kind = 'platform' OR v.tenant_id = %s)
    ORDER BY t.kind <> 'platform'
"""
# Stands in for a text in force that this version of the product cannot read: only a repair is possible.
UNREADABLE = """
@id("openclaw.policies-unreadable")
@reason("The policies in force cannot be read, so nothing is allowed that they could forbid.")
@help("A platform administrator proposes a version of the policies that can be read.")
forbid (principal, action, resource)
unless {
    principal.platform
    && action in [Action::"policies.version.view", Action::"policies.version.draft",
                  Action::"policies.version.propose", Action::"policies.version.activate"]
};
"""


class DatabasePolicies:
    """The `PolicySource` of the site. One per process; a fork begins anew."""

    def __init__(self) -> None:
        self._books: HeardCache[UUID | None, PolicyBook] = HeardCache("policy", max_entries=MAX_TENANTS)
        self._connection: psycopg.Connection[Any] | None = None
        self._parents: psycopg.Connection[Any] | None = None
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def book(self, tenant_id: UUID | None) -> PolicyBook:
        """The product's rules with the platform's and this tenant's policies in force.

        Raises django.db.OperationalError when they are not known: without the policies nobody is let in.
        """
        return self._books.get(tenant_id, lambda: self._load(tenant_id))

    def forget(self) -> None:
        """Ask the database again at the next decision."""
        self._books.forget()

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._drop()

    def _load(self, tenant_id: UUID | None) -> PolicyBook:
        with self._lock:
            try:
                rows = self._read(tenant_id)
            except psycopg.Error:
                # The server may have gone and come back since the last look; a second failure is its absence.
                self._drop()
                try:
                    rows = self._read(tenant_id)
                except psycopg.Error as error:
                    self._drop()
                    raise OperationalError(f"the policies in force cannot be read: {error}") from error
            key = tuple(digest for digest, _text in rows)
            if key not in self._made:
                if len(self._made) >= MAX_TEXTS:
                    self._made.clear()
                self._made[key] = compose(*(text for _digest, text in rows))
            return self._made[key]

    def _read(self, tenant_id: UUID | None) -> list[tuple[str, str]]:
        if self._connection is None:
            parameters: dict[str, Any] = dict(site_connection()) | {"application_name": "openclaw policies"}
            self._connection = psycopg.connect(**{"connect_timeout": 3, **parameters}, autocommit=True)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(SET_SCOPE, ("", "platform"))
            return list(cursor.execute(IN_FORCE, [tenant_id]).fetchall())

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin_anew(self) -> None:
        # A parent's connection must not be closed by its child: it is kept here, unused.
        self._parents, self._connection = self._connection, None
        self._lock = threading.Lock()
        self._made: dict[tuple[str, ...], PolicyBook] = {}


def compose(*texts: str) -> PolicyBook:
    """The product's rules and these texts as one book. A text that cannot be read forbids instead of being skipped."""
    book = product_rules()
    for text in texts:
        try:
            book = book + PolicyBook.parse(text)
        except ValueError:
            log.exception("policies in force cannot be read")
            book = book + PolicyBook.parse(UNREADABLE)
    return book


policies = DatabasePolicies()
