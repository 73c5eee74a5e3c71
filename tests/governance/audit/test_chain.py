"""The audit log takes no change, and verification finds one that was forced, where it is and of which kind."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from governance.audit import verification
from governance.audit.models import AuditEntry, AuditHead, SignedHead
from governance.audit.services import record
from governance.audit.verification import verify
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_untouched_chain_verifies(org, entries, found, sign):
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert found(org) == []
    sign()
    assert found(org) == []
    (report,) = verify(tenant=org.slug)
    assert (report.entries, report.signed_through) == (3, 3)


@pytest.mark.parametrize("change", [{"reason": "better"}, {"decision": "deny"}])
def test_the_application_cannot_change_an_entry(org, entries, change):
    with platform_scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=entries[1].pk).update(**change)


@pytest.mark.parametrize("model", [AuditEntry, AuditHead, SignedHead])
def test_the_application_cannot_delete(org, entries, sign, model):
    sign()
    with platform_scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        model.objects.filter(tenant=org).delete()


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE audit_auditentry",
        "TRUNCATE audit_auditentry_default",
        "DELETE FROM audit_auditentry_default",
        "SELECT set_config('openclaw.audit_function', 'on', true); DELETE FROM audit_auditentry",
        "ALTER TABLE audit_auditentry DISABLE TRIGGER ALL",
        "DROP TABLE audit_auditentry_default",
        "SELECT audit_make_partition('2031-01-01')",
        "SET session_replication_role = replica",
    ],
)
def test_the_application_cannot_get_round_it(org, entries, statement, found):
    with platform_scope(), pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert found(org) == []


def test_the_tables_owner_cannot_truncate_either(org, entries, services, found):
    import psycopg

    with psycopg.connect(services.postgres.owner_url("test_openclaw")) as owner:
        for table in ("audit_auditentry", "audit_signedhead", "audit_chaincut", "audit_legalhold"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), owner.transaction():
                owner.execute(f"TRUNCATE {table}")
    assert found(org) == []


@pytest.mark.parametrize(
    ("statement", "kind", "entry", "text"),
    [
        ("UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 2", "changed", 2, "entry 2 was changed"),
        ("DELETE FROM audit_auditentry WHERE sequence = 2", "removed", 2, "entry 2 is missing"),
        ("DELETE FROM audit_auditentry WHERE sequence IN (1, 2)", "removed", 1, "entries 1 to 2 are missing"),
        ("DELETE FROM audit_auditentry WHERE sequence = 3", "head", 2, "its head says 3"),
        ("UPDATE audit_audithead SET sequence = 7", "head", 3, "its head says 7"),
        ("UPDATE audit_audithead SET entry_hash = repeat('a', 64)", "head", 3, "not that of entry 3"),
        (
            "UPDATE audit_auditentry SET sequence = 15 - sequence WHERE sequence IN (2, 3);"
            "UPDATE audit_auditentry SET sequence = sequence - 10 WHERE sequence > 10",
            "reordered",
            2,
            "entry 2 was written as number 3",
        ),
    ],
)
def test_a_forced_change_is_found_and_located(org, entries, superuser, found, statement, kind, entry, text):
    superuser(*statement.split(";"))
    assert any((k, e) == (kind, entry) and text in t for k, e, t in found(org)), found(org)


def test_an_entry_put_in_between_is_found(org, write, superuser, found):
    write(org, 4)
    copy = "gen_random_uuid(), 3, at, actor_kind, actor_id, actor_label, action, target_type, target_id"
    rest = "target_label, target_digest, decision, 'forged', request_id, details, previous_hash, entry_hash"
    columns = (
        "id, sequence, at, actor_kind, actor_id, actor_label, action, target_type, target_id, "
        "target_label, target_digest, decision, reason, request_id, details, previous_hash, entry_hash, tenant_id"
    )
    superuser(
        "UPDATE audit_auditentry SET sequence = sequence + 100 WHERE sequence >= 3",
        "UPDATE audit_auditentry SET sequence = sequence - 99 WHERE sequence >= 100",
        f"INSERT INTO audit_auditentry ({columns}) "
        f"SELECT {copy}, {rest}, tenant_id FROM audit_auditentry WHERE sequence = 2",
        "UPDATE audit_audithead SET sequence = 5",
    )
    assert [(kind, entry) for kind, entry, _text in found(org)] == [("inserted", 3)]


def test_an_entry_with_a_correct_hash_put_in_between_is_found(org, write, superuser, found):
    from governance.audit.chain import entry_hash

    written = write(org, 4)
    forged = written[2]
    forged.sequence, forged.reason = 3, "forged"
    forged.entry_hash = entry_hash(forged)
    superuser(
        "UPDATE audit_auditentry SET sequence = sequence + 100 WHERE sequence >= 3",
        "UPDATE audit_auditentry SET sequence = sequence - 99 WHERE sequence >= 100",
        "INSERT INTO audit_auditentry SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), "
        f"'sequence', 3, 'reason', 'forged', 'entry_hash', '{forged.entry_hash}'))).* "
        "FROM audit_auditentry e WHERE sequence = 4",
        "UPDATE audit_audithead SET sequence = 5",
    )
    assert [(kind, entry) for kind, entry, _text in found(org)] == [("inserted", 3)]


def test_a_second_entry_with_a_number_is_found(org, entries, superuser, found):
    superuser(
        "INSERT INTO audit_auditentry SELECT (jsonb_populate_record(e, jsonb_build_object("
        "'id', gen_random_uuid(), 'at', '2020-01-01T00:00:00Z'))).* FROM audit_auditentry e WHERE sequence = 2"
    )
    assert ("inserted", 2) in [(kind, entry) for kind, entry, _text in found(org)]


def test_a_chain_rewritten_with_correct_hashes_is_found_by_its_signed_heads(
    org, write, sign, forged_chain, found
):
    write(org, 2)
    sign()
    write(org, 3)
    sign()
    forged_chain(org, 4, "nothing happened")
    problems = found(org)
    assert [(kind, entry) for kind, entry, _text in problems] == [("signature", 3)]
    assert "entries 3 to 5 were rewritten" in problems[0][2]


def test_a_shortened_chain_is_found_by_its_last_signed_head(org, entries, sign, superuser, found):
    sign()
    superuser(
        "DELETE FROM audit_auditentry WHERE sequence = 3",
        "UPDATE audit_audithead SET sequence = 2, entry_hash = "
        "(SELECT entry_hash FROM audit_auditentry WHERE sequence = 2)",
    )
    problems = found(org)
    assert [(kind, entry) for kind, entry, _text in problems] == [("removed", 3)]
    assert "entries 3 to 3 were removed from the end" in problems[0][2]


def test_a_chain_longer_than_a_batch_is_verified_whole(org, write, superuser, found, sign, monkeypatch):
    monkeypatch.setattr(verification, "BATCH", 4)
    write(org, 11)
    sign()
    assert found(org) == []
    superuser("UPDATE audit_auditentry SET reason = 'x' WHERE sequence IN (4, 9)")
    assert [(kind, entry) for kind, entry, _text in found(org)] == [("changed", 4), ("changed", 9)]


def test_many_problems_are_counted_and_the_first_told(org, write, superuser, monkeypatch):
    from governance.audit import findings

    monkeypatch.setattr(findings, "MOST_PROBLEMS", 2)
    write(org, 5)
    superuser("UPDATE audit_auditentry SET reason = 'x'")
    (report,) = verify(tenant=org.slug)
    assert (len(report.problems), report.more_problems) == (2, 3)


def test_an_entry_is_lost_with_its_transaction(org, entries, found):
    with platform_scope(), pytest.raises(RuntimeError), transaction.atomic():
        record(principal=SYSTEM, action="test.thing.change", tenant_id=org.id)
        raise RuntimeError
    assert found(org) == []


def test_a_transaction_is_lost_with_its_entry(org, other_org, entries, found):
    from governance.tenants.models import Tenant

    with pytest.raises(DatabaseError), platform_scope(), transaction.atomic():
        Tenant.objects.filter(pk=org.pk).update(name="changed")
        with suppress(DatabaseError):  # who swallows the error keeps nothing either
            record(principal=SYSTEM, action="x" * 101, tenant_id=org.id)
        Tenant.objects.filter(pk=org.pk).update(name="changed again")
    with platform_scope(), transaction.atomic():
        assert Tenant.objects.get(pk=org.pk).name == org.name
    assert found(org) == []


def test_a_tenant_cannot_write_into_anothers_chain(org, other_org, entries):
    with tenant_context(other_org.id), pytest.raises((DatabaseError, RuntimeError)), transaction.atomic():
        record(principal=SYSTEM, action="test.thing.change", tenant_id=org.id)


def test_the_command_says_where_and_fails(org, other_org, write, superuser, sign, capsys):
    write(org, 3)
    write(other_org, 1)
    sign()
    call_command("audit_verify")
    assert f"{org.slug}: 3 entries, the chain holds, signed up to entry 3 of 3" in capsys.readouterr().out
    superuser(f"UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 2 AND tenant_id = '{org.id}'")
    with pytest.raises(CommandError, match="1 of the chains"):
        call_command("audit_verify")
    assert "changed, entry 2:" in capsys.readouterr().out
    call_command("audit_verify", tenant=other_org.slug)
    with pytest.raises(CommandError, match="no tenant"):
        call_command("audit_verify", tenant="nobody")
