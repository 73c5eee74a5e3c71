"""Every table of every product app either forces row-level security or has a written reason not to."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from psycopg import sql

from governance.tenants.rls import POLICY

pytestmark = pytest.mark.django_db

# Tables without a tenant, and why that leaks nothing.
PLATFORM_TABLES: dict[str, str] = {
    "tenants_user": "an account has no tenant; memberships, which have one, say where it may act",
    "tenants_user_groups": "Django's groups are not used; the table is empty",
    "tenants_user_user_permissions": "Django's model permissions are not used; object grants are guardian's",
}
SELF_TENANT = {"tenants_tenant": "id"}


def product_tables() -> list[str]:
    labels = {name.rsplit(".", 1)[1] for name in settings.PRODUCT_APPS}
    models = [m for m in apps.get_models(include_auto_created=True) if m._meta.app_label in labels]
    return sorted(m._meta.db_table for m in models if m._meta.managed and not m._meta.proxy)


TENANT_TABLES = [table for table in product_tables() if table not in PLATFORM_TABLES]


def superuser(services):
    return psycopg.connect(services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?"))


def test_no_reason_outlives_its_table():
    assert set(PLATFORM_TABLES) <= set(product_tables())


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_row_security_is_forced(services, table):
    with superuser(services) as connection:
        enabled, forced = connection.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = %s", [table]
        ).fetchone()
        policies = connection.execute(
            "SELECT polname FROM pg_policy WHERE polrelid = %s::regclass", [table]
        ).fetchall()
    assert (enabled, forced) == (True, True), (
        f"{table} has no forced row-level security: add TenantRowSecurity({table!r}) to a migration, "
        "or give a reason in PLATFORM_TABLES."
    )
    assert (POLICY,) in policies


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_no_context_no_rows_and_another_tenant_no_rows(services, table):
    """Two real rows of two tenants, seen through the app role. Constraints are lifted for this transaction only."""
    column = SELF_TENANT.get(table, "tenant_id")
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    with superuser(services) as connection:
        lift_constraints(connection, table)
        for tenant in (mine, theirs):
            insert_row(connection, table, {column: tenant})
        connection.execute("SET LOCAL ROLE openclaw_app")
        assert visible(connection, table, column) == set()
        assert visible(connection, table, column, tenant=mine) == {mine}
        assert visible(connection, table, column, tenant=theirs) == {theirs}
        assert visible(connection, table, column, tenant=uuid.uuid4()) == set()
        assert visible(connection, table, column, platform=True) >= {mine, theirs}
        connection.rollback()


def lift_constraints(connection, table):
    connection.execute("SET LOCAL session_replication_role = replica")
    checks = connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f')", [table]
    ).fetchall()
    for (name,) in checks:
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(name))
        )


def insert_row(connection, table, values):
    columns = connection.execute(
        "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = %s AND is_nullable = 'NO' AND is_identity = 'NO'",
        [table],
    ).fetchall()
    row = {name: filler(kind, length) for name, kind, length in columns} | values
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        ),
        list(row.values()),
    )


def filler(kind, length):
    if kind == "uuid":
        return uuid.uuid4()
    if kind in ("character varying", "text"):
        return uuid.uuid4().hex[: length or 32]
    if kind == "bytea":
        return uuid.uuid4().bytes
    if kind == "jsonb":
        return "{}"
    if kind.startswith("timestamp") or kind == "date":
        return "2026-01-01"
    if kind == "boolean":
        return False
    return uuid.uuid4().int % 30_000


def visible(connection, table, column, *, tenant=None, platform=False):
    connection.execute(
        "SELECT set_config('openclaw.tenant', %s, true), set_config('openclaw.scope', %s, true)",
        [str(tenant) if tenant else "", "platform" if platform else ""],
    )
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
    )
    return {value for (value,) in rows}
