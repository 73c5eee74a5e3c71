"""Monthly partitions, made ahead. The database's own functions do it, with the rights of the tables' owner."""

from __future__ import annotations

from django.db import connection, transaction

from governance.tenants.context import platform_scope

MONTHS_AHEAD = 3


def make_partitions(*, ahead: int = MONTHS_AHEAD) -> int:
    """Make the partitions of this month and the next ones that are missing; returns how many.

    Entries of a month without one are not lost: the default partition has them until then.
    """
    return _call("SELECT audit_ensure_partitions(%s)", ahead)


def drop_empty_partitions() -> int:
    """Drop the months, older than any retention allows, in which retention has left no entry; returns how many."""
    return _call("SELECT count(*) FROM audit_drop_empty_partitions()")


def _call(statement: str, *parameters: int) -> int:
    with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.fetchone()[0])
