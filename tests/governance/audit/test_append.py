"""Appending: two round trips, many writers, clocks that are set back, hostile texts."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.audit.chain import entry_hash, plain
from governance.audit.holding import CLOCK_STEP
from governance.audit.models import AuditEntry
from governance.audit.services import record, record_read
from governance.audit.verification import verify
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_entry_costs_two_round_trips(org, entries):
    with tenant_context(org.id), CaptureQueriesContext(connection) as queries, transaction.atomic():
        record(principal=SYSTEM, action="test.thing.change", tenant_id=org.id)
    statements = [
        query["sql"] for query in queries if query["sql"].startswith(("SELECT id", "WITH appended"))
    ]
    assert len(statements) == 2, [query["sql"] for query in queries]
    assert not [q for q in queries if "audit_" in q["sql"] and q["sql"] not in statements]


def test_what_is_returned_is_what_is_kept(org, entries):
    with platform_scope(), transaction.atomic():
        kept = AuditEntry.objects.get(pk=entries[0].pk)
    names = [field.attname for field in AuditEntry._meta.concrete_fields]
    assert {n: getattr(kept, n) for n in names} == {n: getattr(entries[0], n) for n in names}


def in_threads(*functions):
    failures = []

    def run(function):
        try:
            function()
        except Exception as error:  # noqa: BLE001  told by the thread that waits
            failures.append(error)
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_writers_of_one_chain_and_of_many_leave_chains_that_hold(org, other_org, partner_org, write, found):
    tenants = (org, org, org, other_org, partner_org)
    in_threads(*(lambda tenant=tenant: write(tenant, 20) for tenant in tenants))
    for tenant, length in ((org, 60), (other_org, 20), (partner_org, 20)):
        assert found(tenant) == []
        (report,) = verify(tenant=tenant.slug)
        assert report.entries == length


def test_the_first_entries_of_a_chain_written_at_once(org, write, found):
    in_threads(*(lambda: write(org, 1) for _ in range(6)))
    assert found(org) == []


def test_a_small_step_back_of_the_clock_does_not_show(org, write, clock):
    first = write(org)[0]
    clock(-CLOCK_STEP / 2)
    assert write(org)[0].at == first.at


def test_a_clock_that_was_set_back_is_told_and_numbers_keep_the_order(org, write, clock):
    clock(timedelta(days=40))
    ahead = write(org)[0]
    clock(timedelta(0))
    now = write(org)[0]
    assert now.at < ahead.at
    assert now.sequence == ahead.sequence + 1
    (report,) = verify(tenant=org.slug)
    assert (report.problems, report.clock_set_back) == ([], [now.sequence])


@pytest.mark.parametrize(("label", "kept"), [("restricted", 1), ("confidential", 0), ("public", 0), ("", 0)])
def test_reading_restricted_content_is_recorded(org, label, kept):
    target = ObjectRef("data.dataset", "7", label="patients")
    with tenant_context(org.id):
        entry = record_read(principal=SYSTEM, target=target, label=label, tenant_id=org.id)
        with transaction.atomic():
            assert AuditEntry.objects.filter(target_id="7").count() == kept
    assert (entry is not None) == bool(kept)


TEXTS = st.text(st.characters(codec=None), max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=st.dictionaries(TEXTS, VALUES, max_size=4), reason=TEXTS, label=TEXTS)
def test_anything_that_can_be_said_reads_back_with_its_hash(org, details, reason, label):
    with platform_scope(), transaction.atomic():
        made = record(
            principal=SYSTEM,
            action="test.thing.change",
            target=ObjectRef("test.thing", label, label=label),
            tenant_id=org.id,
            reason=reason,
            details=details,
        )
        kept = AuditEntry.objects.get(pk=made.pk)
    assert kept.details == plain(details)
    assert entry_hash(kept) == kept.entry_hash
