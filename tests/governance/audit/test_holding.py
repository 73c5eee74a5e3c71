"""The entries of a transaction are one insert at its end, and go wherever the transaction goes."""

from __future__ import annotations

import threading

import pytest
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.audit import holding
from governance.audit.models import AuditEntry
from governance.audit.services import record
from governance.audit.verification import verify
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def say(org, action="test.thing.change"):
    return record(principal=SYSTEM, action=action, tenant_id=org.id)


def kept(org):
    with platform_scope(), transaction.atomic():
        rows = AuditEntry.objects.filter(tenant_id=org.id, action__startswith="test.").order_by("sequence")
        return [row.action for row in rows]


def inserts(queries):
    return [query["sql"] for query in queries if "INSERT INTO audit_auditentry" in query["sql"]]


def holds(org):
    (report,) = verify(tenant=org.slug)
    return not report.problems


def test_several_entries_are_one_insert_in_their_order(org):
    with CaptureQueriesContext(connection) as queries, tenant_context(org.id), transaction.atomic():
        made = [say(org, f"test.act.{number}") for number in range(4)]
    assert len(inserts(queries)) == 1
    assert kept(org) == [f"test.act.{number}" for number in range(4)]
    first = made[0].sequence
    assert [entry.sequence for entry in made] == list(range(first, first + 4))
    assert [entry.previous_hash for entry in made[1:]] == [entry.entry_hash for entry in made[:-1]]
    assert holds(org)


def test_two_chains_are_two_inserts(org, other_org):
    with CaptureQueriesContext(connection) as queries, platform_scope(), transaction.atomic():
        for tenant in (org, other_org, org, other_org):
            say(tenant)
    assert len(inserts(queries)) == 2
    assert len(kept(org)) == len(kept(other_org)) == 2
    assert holds(org)
    assert holds(other_org)


def test_more_than_a_statement_takes_are_several(org, monkeypatch):
    monkeypatch.setattr(holding, "AT_ONCE", 3)
    with tenant_context(org.id), transaction.atomic():
        for _ in range(7):
            say(org)
    assert len(kept(org)) == 7
    assert holds(org)


def test_the_entries_are_written_in_the_scope_in_which_they_were_made(org, other_org):
    with transaction.atomic():
        for tenant in (org, other_org):
            with tenant_context(tenant.id):
                say(tenant)
    assert kept(org) == kept(other_org) == ["test.thing.change"]


def test_a_scope_that_does_not_reach_the_chain_is_refused_at_once(org, other_org):
    with tenant_context(other_org.id), transaction.atomic(), pytest.raises(RuntimeError):
        say(org)


def test_who_looks_within_the_transaction_finds_them(org):
    with tenant_context(org.id), transaction.atomic():
        made = say(org)
        assert AuditEntry.objects.filter(pk=made.pk).exists()
        say(org)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit_auditentry WHERE action = 'test.thing.change'")
            assert cursor.fetchone() == (2,)
        say(org)
    assert len(kept(org)) == 3
    assert holds(org)


@pytest.mark.parametrize("looked", [False, True])
def test_an_entry_of_a_savepoint_goes_with_it(org, looked):
    with tenant_context(org.id), transaction.atomic():
        say(org, "test.before")
        with pytest.raises(LookupError), transaction.atomic():
            say(org, "test.within")
            with transaction.atomic():
                say(org, "test.deeper")
            if looked:
                assert AuditEntry.objects.filter(action="test.within").exists()
            raise LookupError
        say(org, "test.after")
    assert kept(org) == ["test.before", "test.after"]
    assert holds(org)


@pytest.mark.parametrize("looked", [False, True])
def test_nothing_is_left_of_a_transaction_that_fails(org, looked):
    with pytest.raises(LookupError), tenant_context(org.id), transaction.atomic():
        say(org)
        if looked:
            assert AuditEntry.objects.filter(action="test.thing.change").exists()
        raise LookupError
    with tenant_context(org.id), transaction.atomic():
        say(org, "test.next")
    assert kept(org) == ["test.next"]


def test_a_block_that_is_rolled_back_without_an_error_leaves_nothing(org):
    with tenant_context(org.id), transaction.atomic():
        say(org)
        transaction.set_rollback(True)
    assert kept(org) == []


def test_what_an_entry_is_about_is_lost_where_it_cannot_be_written(org):
    done = []
    with pytest.raises(DatabaseError), platform_scope(), transaction.atomic():
        Tenant.objects.filter(pk=org.pk).update(name="changed")
        transaction.on_commit(lambda: done.append("told"))
        say(org, "x" * 101)
    with platform_scope(), transaction.atomic():
        assert Tenant.objects.get(pk=org.pk).name == org.name
        assert not connection.held
    assert not done


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_is_lost_whatever_goes_wrong_while_it_is_written(org, monkeypatch, error):
    def fails(_entry):
        raise error

    with monkeypatch.context() as patched, pytest.raises(error), platform_scope(), transaction.atomic():
        patched.setattr(holding, "entry_hash", fails)
        Tenant.objects.filter(pk=org.pk).update(name="changed")
        say(org)
    with platform_scope(), transaction.atomic():
        assert Tenant.objects.get(pk=org.pk).name == org.name
        say(org)
    assert len(kept(org)) == 1


def test_a_connection_that_goes_away_takes_them_along(org):
    with pytest.raises(DatabaseError), tenant_context(org.id), transaction.atomic():
        say(org)
        connection.close()
        say(org)
    assert kept(org) == []
    assert not connection.held


def test_who_wraps_statements_for_a_while_is_not_in_its_way(org):
    seen = []

    def see(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with tenant_context(org.id), transaction.atomic():
        with connection.execute_wrapper(see):
            say(org)
        before = len(seen)
        Tenant.objects.first()
        assert len(seen) == before
    assert kept(org) == ["test.thing.change"]
    assert not connection.execute_wrappers


def test_nobody_waits_for_the_rest_of_anothers_transaction(org):
    """The chain is locked for the insert alone: a second writer comes and goes while a first is still at work."""
    failures = []

    def another():
        try:
            with tenant_context(org.id), transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '20s'")
                say(org, "test.second")
        except Exception as error:  # noqa: BLE001  told by the thread that waits
            failures.append(error)
        finally:
            close_old_connections()
            connection.close()

    with tenant_context(org.id), transaction.atomic():
        say(org, "test.first")
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
    assert not failures
    assert kept(org) == ["test.second", "test.first"]
    assert holds(org)


STEPS = st.recursive(
    st.sampled_from(["say", "look"]),
    lambda inner: st.tuples(st.booleans(), st.lists(inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=5))
def test_whatever_is_nested_how_the_kept_entries_are_those_of_the_kept_savepoints(org, steps):
    number = iter(range(1000))

    def play(steps) -> list[str]:
        said = []
        for step in steps:
            if step == "say":
                said.append(f"test.step.{next(number)}")
                say(org, said[-1])
            elif step == "look":
                AuditEntry.objects.filter(tenant_id=org.id).count()
            else:
                keeps, inner = step
                try:
                    with transaction.atomic():
                        within = play(inner)
                        if not keeps:
                            raise LookupError
                except LookupError:
                    continue
                said += within
        return said

    before = kept(org)
    with tenant_context(org.id), transaction.atomic():
        expected = play(steps)
    assert kept(org) == before + expected
    assert holds(org)
