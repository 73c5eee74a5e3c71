"""The audit log takes no change, and `verify` finds one that was forced."""

import psycopg
import pytest
from django.db import DatabaseError, transaction

from governance.audit.models import AuditEntry
from governance.audit.services import record
from governance.audit.verification import verify
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def entries(org):
    with platform_scope(), transaction.atomic():
        return [
            record(
                principal=SYSTEM,
                action="test.thing.change",
                target=ObjectRef("test.thing", str(number), label="ein Ding 东西"),
                tenant_id=org.id,
                details={"ratio": 0.1, "nested": {"b": [1, None, True], "a": "x\x00y"}},
            )
            for number in range(3)
        ]


def problems(org):
    return [str(problem) for report in verify(tenant=org.slug) for problem in report.problems]


def tamper(services, statement):
    """What only someone with the superuser's password can do."""
    dsn = services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)


def test_an_untouched_chain_verifies(org, entries):
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert problems(org) == []


@pytest.mark.parametrize("change", [{"reason": "better"}, {"decision": "deny"}])
def test_the_application_cannot_change_an_entry(org, entries, change):
    with platform_scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=entries[1].pk).update(**change)


def test_the_application_cannot_delete_an_entry(org, entries):
    with platform_scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=entries[1].pk).delete()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 2", "entry 2 was changed"),
        ("DELETE FROM audit_auditentry WHERE sequence = 2", "entry 2 is missing"),
        ("DELETE FROM audit_auditentry WHERE sequence = 3", "its head says 3"),
    ],
)
def test_a_forced_change_is_found_and_located(org, entries, services, statement, found):
    tamper(services, statement)
    assert any(found in problem for problem in problems(org))


def test_an_entry_is_lost_with_its_transaction(org, entries):
    with platform_scope(), pytest.raises(RuntimeError), transaction.atomic():
        record(principal=SYSTEM, action="test.thing.change", tenant_id=org.id)
        raise RuntimeError
    assert problems(org) == []
