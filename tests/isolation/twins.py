"""A second tenant of exactly the same shape, made from the rows of the first, whatever tables there are.

The superuser copies every row of every tenant table: same text, same numbers, other ids. A table in which the first
tenant has nothing gets a row of filler. So a table that is added tomorrow is part of the proof without anybody listing
it. Foreign keys and triggers are off while copying; unique and check constraints are not.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.site.meta.test_row_security import SELF_TENANT, TENANT_TABLES, filler

SALT = "twin"
MEMBERSHIPS = "tenants_membership"
# What a partner has published is everybody's to read; the twin has the same things, not yet published.
UNPUBLISHED = {
    "catalog_partner": {"listed": False},
    "catalog_plugin": {"listed": False},
    "catalog_pluginversion": {"state": "submitted"},
}


def twin_of(value: uuid.UUID) -> uuid.UUID:
    """The id that stands for `value` in the second tenant."""
    return uuid.UUID(hashlib.md5(f"{SALT}{value}".encode(), usedforsecurity=False).hexdigest())


class Twins:
    """The rows of one tenant and of its twin, over a connection that sees everything."""

    def __init__(self, connection: psycopg.Connection[Any], tenant_id: uuid.UUID) -> None:
        self.connection = connection
        self.tenant_id = tenant_id
        self.twin_id = twin_of(tenant_id)
        self.rows = {table: self._rows(table, tenant_id) for table in TENANT_TABLES}
        self.ids = {
            row["id"] for rows in self.rows.values() for row in rows if isinstance(row.get("id"), uuid.UUID)
        }
        self.ids.add(tenant_id)
        self.twin_ids = {twin_of(value) for value in self.ids}

    def make(self) -> None:
        """Copy everything into the twin."""
        self.connection.execute("SET session_replication_role = replica")
        for table, rows in self.rows.items():
            # The twin has people of its own: an account that is in both tenants may see both.
            if table in SELF_TENANT or table == MEMBERSHIPS:
                continue
            for row in rows:
                copied = {name: self._twin(value) for name, value in row.items()}
                self._insert(table, copied | UNPUBLISHED.get(table, {}))
            if not rows:
                self._insert(table, self._filled(table))
        self.connection.execute("SET session_replication_role = DEFAULT")

    @property
    def foreign_ids(self) -> set[str]:
        """Every id of the twin as text: none of them may ever appear in an answer to the first tenant."""
        return {
            str(row["id"])
            for table in TENANT_TABLES
            for row in self._rows(table, self.twin_id)
            if isinstance(row.get("id"), uuid.UUID)
        }

    def ids_of(self, app_label: str) -> Iterable[uuid.UUID]:
        """One id of the first tenant per table of an app: what its addresses and tasks may be about."""
        for table, rows in self.rows.items():
            if table.startswith(f"{app_label}_") and rows and isinstance(rows[0].get("id"), uuid.UUID):
                yield rows[0]["id"]

    def checksum(self, tenant_id: uuid.UUID) -> dict[str, str]:
        """What a tenant's rows are now, table by table."""
        return {
            table: hashlib.sha256(repr(sorted(map(repr, self._rows(table, tenant_id)))).encode()).hexdigest()
            for table in TENANT_TABLES
        }

    def _rows(self, table: str, tenant_id: uuid.UUID) -> list[dict[str, Any]]:
        column = SELF_TENANT.get(table, "tenant_id")
        query = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(
            sql.Identifier(table), sql.Identifier(column)
        )
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [tenant_id]).fetchall()

    def _twin(self, value: Any) -> Any:
        if isinstance(value, uuid.UUID):
            return twin_of(value) if value in self.ids else value
        if isinstance(value, (dict, list)):
            return Jsonb(value)
        # References to things above the ground are text.
        if isinstance(value, str) and len(value) == 36 and _as_uuid(value) in self.ids:
            return str(twin_of(uuid.UUID(value)))
        return value

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        """Insert a row; what must be unique on the whole platform becomes something else, and nothing more."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        )
        for _attempt in range(4):
            try:
                self.connection.execute(statement, list(row.values()))
                return
            except psycopg.errors.UniqueViolation as error:
                named = re.search(r"Key \((.*?)\)=", error.diag.message_detail or "")
                taken = named[1].split(", ") if named else []
                row = {name: self._other(value) if name in taken else value for name, value in row.items()}
            except psycopg.errors.CheckViolation:
                return  # filler that a rule of the table refuses; rows of a real tenant never are
        raise AssertionError(f"{table} cannot have a twin: {row}")

    def _other(self, value: Any) -> Any:
        # A reference to a row of no tenant, an account for example, of which there is one each.
        if isinstance(value, uuid.UUID) and value not in self.twin_ids:
            return twin_of(value)
        if isinstance(value, str) and not _as_uuid(value):
            return value[:-6] + hashlib.sha256(value.encode()).hexdigest()[:6]
        return value

    def _filled(self, table: str) -> dict[str, Any]:
        columns = self.connection.execute(
            "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name = %s AND is_nullable = 'NO' AND is_identity = 'NO'",
            [table],
        ).fetchall()
        return {name: filler(kind, length) for name, kind, length in columns} | {
            SELF_TENANT.get(table, "tenant_id"): self.twin_id
        }


def _as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
