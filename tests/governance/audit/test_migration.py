"""The plain table becomes a partitioned one with every entry that it held, in a database of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import psycopg
import pytest

from governance.tenants.models import Tenant

DATABASE = "test_audit_migration"
COLUMNS = (
    "id, sequence, at, actor_kind, actor_id, actor_label, action, target_type, target_id, target_label, "
    "target_digest, decision, reason, request_id, details, previous_hash, entry_hash, tenant_id"
)


@pytest.fixture
def database(services, django_db_setup):
    services.postgres.create_database(DATABASE)
    yield services.postgres
    with psycopg.connect(services.postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def django(services, *arguments, role="owner"):
    url = services.owner_url(DATABASE) if role == "owner" else services.app_url(DATABASE)
    environment = os.environ | {"DATABASE_URL": url, "OPENCLAW_DATABASE_ROLE": role}
    command = [sys.executable, "-W", "ignore", "-m", "django", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def rows(connection):
    connection.execute("SELECT set_config('openclaw.scope', 'platform', false)")
    return connection.execute(
        f"SELECT {COLUMNS} FROM audit_auditentry ORDER BY tenant_id, sequence"
    ).fetchall()


def test_every_entry_is_kept_in_its_month_and_the_chain_holds(database):
    from datetime import UTC, datetime, timedelta

    from governance.audit.chain import GENESIS, entry_hash
    from governance.audit.models import AuditEntry

    made = django(database, "migrate", "audit", "0002", "--verbosity=0")
    assert made.returncode == 0, made.stderr
    tenant = Tenant(id=uuid.uuid4(), slug="bank")
    superuser = database.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
    now = datetime.now(UTC)
    previous = GENESIS
    with psycopg.connect(superuser) as connection:
        connection.execute(
            "INSERT INTO tenants_tenant (id, slug, name, kind, created_at) "
            "VALUES (%s, 'bank', 'Bank', 'platform', now())",
            [tenant.id],
        )
        for number in range(1, 41):
            entry = AuditEntry(
                tenant_id=tenant.id,
                sequence=number,
                at=now - timedelta(days=(40 - number) * 5),
                actor_kind="system",
                actor_label="OpenClaw",
                action="test.thing.change",
                decision="allow",
                details={"n": number},
                previous_hash=previous,
            )
            entry.entry_hash = previous = entry_hash(entry)
            names = [name.strip() for name in COLUMNS.split(",")]
            values = [getattr(entry, name) for name in names]
            values[names.index("details")] = f'{{"n": {number}}}'
            connection.execute(
                f"INSERT INTO audit_auditentry ({COLUMNS}) VALUES ({', '.join(['%s'] * len(names))})", values
            )
        connection.execute(
            "INSERT INTO audit_audithead (id, sequence, entry_hash, tenant_id) VALUES (%s, 40, %s, %s)",
            [uuid.uuid4(), previous, tenant.id],
        )
        before = rows(connection)
    migrated = django(database, "migrate", "--verbosity=0")
    assert migrated.returncode == 0, migrated.stderr
    with psycopg.connect(superuser) as connection:
        assert rows(connection) == before
        assert connection.execute("SELECT count(*) FROM audit_auditentry_default").fetchone() == (0,)
        months = connection.execute("SELECT count(DISTINCT tableoid) FROM audit_auditentry").fetchone()
        assert months is not None
        assert months[0] >= 6
        assert connection.execute("SELECT at FROM audit_audithead").fetchone() == (before[-1][2],)
        left = connection.execute("SELECT to_regclass('audit_auditentry_whole')").fetchone()
        assert left == (None,)
    verified = django(database, "audit_verify", role="app")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "bank: 40 entries, the chain holds" in verified.stdout
