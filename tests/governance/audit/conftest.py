"""What the tests of the audit log share: entries, and what only somebody with the superuser's password can do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import pytest
from django.db import transaction
from django.utils import timezone

from governance.principals import SYSTEM
from governance.refs import ObjectRef


@pytest.fixture
def write(platform) -> Callable[..., list]:
    """Writes entries into a tenant's chain, each in a transaction of its own: `write(org, 3)`."""

    from governance.audit.services import record
    from governance.tenants.context import platform_scope

    def make(tenant, count: int = 1, **given) -> list:
        with platform_scope():
            return [
                record(
                    principal=SYSTEM,
                    action=given.get("action", "test.thing.change"),
                    target=ObjectRef("test.thing", str(number), label="ein Ding 东西"),
                    tenant_id=tenant.id,
                    reason=given.get("reason", ""),
                    details={"ratio": 0.1, "nested": {"b": [1, None, True], "a": "x\x00y\ud800"}},
                )
                for number in range(count)
            ]

    return make


@pytest.fixture
def entries(org, write) -> list:
    return write(org, 3)


@pytest.fixture
def clock(monkeypatch) -> Callable[[timedelta], None]:
    """Sets the log's clock: `clock(timedelta(days=-400))` is 400 days ago."""
    from governance.audit import holding

    def set_to(offset: timedelta) -> None:
        class Clock:
            @staticmethod
            def now() -> datetime:
                return timezone.now() + offset

        monkeypatch.setattr(holding, "timezone", Clock)

    return set_to


@pytest.fixture
def superuser(services):
    """Runs statements as the superuser, with triggers and row security out of the way."""
    dsn = services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?")

    def run(*statements: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement)

    return run


@pytest.fixture
def found():
    """What verification says about a tenant: (kind, entry, text) of each problem."""
    from governance.audit.verification import verify

    def verified(tenant, **given) -> list[tuple[str, int, str]]:
        (report,) = verify(tenant=tenant.slug, **given)
        return [(problem.kind.value, problem.entry, str(problem)) for problem in report.problems]

    return verified


@pytest.fixture
def sign():
    """Signs the ends of the chains now."""
    from governance.audit import heads

    return heads.sign_heads


@pytest.fixture
def forged_chain(superuser):
    """Rewrites a chain from an entry on with correct hashes, as an attacker who knows this program would."""

    def rewrite(tenant, sequence: int, reason: str) -> None:
        from governance.audit.chain import entry_hash
        from governance.audit.models import AuditEntry
        from governance.tenants.context import platform_scope

        with platform_scope(), transaction.atomic():
            rows = list(AuditEntry.objects.filter(tenant=tenant).order_by("sequence"))
        statements, previous = [], None
        for row in rows:
            if row.sequence == sequence:
                row.reason = reason
            if previous is not None:
                row.previous_hash = previous
            row.entry_hash = previous = entry_hash(row)
            statements.append(
                f"UPDATE audit_auditentry SET reason = '{row.reason}', previous_hash = '{row.previous_hash}', "
                f"entry_hash = '{row.entry_hash}' WHERE id = '{row.id}'"
            )
        statements.append(
            f"UPDATE audit_audithead SET entry_hash = '{previous}' WHERE tenant_id = '{tenant.id}'"
        )
        superuser(*statements)

    return rewrite
