"""Months have partitions of their own, made by a function that can make nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from governance.audit.models import AuditEntry
from governance.audit.partitions import drop_empty_partitions, make_partitions
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def superuser_rows(services):
    dsn = services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?")

    def rows(query, *parameters):
        with psycopg.connect(dsn) as connection:
            return connection.execute(query, parameters).fetchall()

    return rows


@pytest.fixture
def partition_of(superuser_rows):
    def name(entry):
        ((found,),) = superuser_rows(
            "SELECT tableoid::regclass::text FROM audit_auditentry WHERE id = %s", entry.id
        )
        return found

    return name


def month_name(at):
    return f"audit_auditentry_{at:%Y%m}"


def months_ahead(count):
    """The names of this month's partition and the next ones."""
    now = datetime.now(UTC)
    for months in range(count + 1):
        year, month = divmod(now.year * 12 + now.month - 1 + months, 12)
        yield f"audit_auditentry_{year}{month + 1:02}"


@pytest.fixture
def far_months(superuser):
    """Months further away than usual are gone again after the test."""
    yield
    for name in set(months_ahead(24)) - set(months_ahead(3)):
        superuser(f"DROP TABLE IF EXISTS {name}")


def test_this_month_and_the_next_ones_have_partitions(superuser_rows):
    names = {
        name
        for (name,) in superuser_rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_auditentry'::regclass"
        )
    }
    assert {"audit_auditentry_default", *months_ahead(3)} <= names
    assert make_partitions() == 0


def test_entries_on_both_sides_of_a_boundary_make_one_chain(org, write, clock, partition_of, found):
    now = datetime.now(UTC)
    following = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
    clock(following - now - timedelta(seconds=30))
    before = write(org, 2)[-1]
    clock(following - now + timedelta(seconds=30))
    after = write(org, 2)[0]
    assert partition_of(before) == month_name(now)
    assert partition_of(after) == month_name(following)
    assert found(org) == []
    with tenant_context(org.id), transaction.atomic():
        assert AuditEntry.objects.count() == 4
        assert AuditEntry.objects.get(pk=after.pk).sequence == 3


def test_a_month_without_a_partition_loses_nothing_and_gets_one_later(
    org, write, clock, partition_of, found, superuser_rows, far_months
):
    far = datetime.now(UTC) + timedelta(days=170)
    clock(timedelta(days=170))
    entry = write(org, 3)[1]
    assert partition_of(entry) == "audit_auditentry_default"
    assert make_partitions(ahead=7) == 4
    assert partition_of(entry) == month_name(far)
    assert superuser_rows("SELECT count(*) FROM audit_auditentry_default") == [(0,)]
    assert found(org) == []
    with platform_scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).delete()


def test_a_partition_has_row_security_triggers_a_unique_number_and_no_rights(superuser_rows):
    names = [
        n
        for (n,) in superuser_rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_auditentry'::regclass"
        )
    ]
    assert len(names) >= 5
    for name in names:
        ((enabled, forced, owner),) = superuser_rows(
            "SELECT relrowsecurity, relforcerowsecurity, pg_get_userbyid(relowner) FROM pg_class "
            "WHERE oid = %s::regclass",
            name,
        )
        assert (enabled, forced, owner) == (True, True, "openclaw_owner"), name
        triggers = {
            t
            for (t,) in superuser_rows(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", name
            )
        }
        assert triggers >= {"audit_append_only", "audit_no_truncate"}, name
        unique = superuser_rows(
            "SELECT 1 FROM pg_index WHERE indrelid = %s::regclass AND indisunique "
            "AND pg_get_indexdef(indexrelid) LIKE '%%(tenant_id, sequence)'",
            name,
        )
        assert unique, name
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            ((may,),) = superuser_rows("SELECT has_table_privilege('openclaw_app', %s, %s)", name, right)
            assert not may, (name, right)


@pytest.mark.parametrize("ahead", [-1, 25, None])
def test_no_other_number_of_months_is_made(ahead):
    with (
        pytest.raises(DatabaseError, match="Between 0 and 24"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT audit_ensure_partitions(%s)", [ahead])


def test_two_processes_at_once_make_a_month_once(far_months):
    from tests.governance.audit.test_append import in_threads

    made = []
    in_threads(*(lambda: made.append(make_partitions(ahead=5)) for _ in range(3)))
    assert sorted(made) == [0, 0, 2]


def test_a_recent_month_is_not_dropped_however_empty(platform):
    assert drop_empty_partitions() == 0
