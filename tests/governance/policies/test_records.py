"""Recorded decisions: counted by the hour, kept for a week, never the system's own, and never another tenant's."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from governance.access.decisions import decide, require
from governance.access.recorder import Recorded, recorder
from governance.errors import AccessDenied
from governance.ids import uuid7
from governance.policies import records
from governance.policies.models import DecisionRecord
from governance.principals import ANONYMOUS, SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from tests.factories.policies import acting

pytestmark = [pytest.mark.django_db(transaction=True)]


def kept(**wanted):
    recorder.flush()
    with platform_scope(), transaction.atomic():
        return list(DecisionRecord.objects.filter(**wanted))


def test_equal_decisions_of_an_hour_are_one_row(author, monkeypatch):
    for _flush in range(3):
        for _ask in range(4):
            require(author, "policies.version.view")
        recorder.flush()
    # An hour may end meanwhile.
    rows = kept(action="policies.version.view")
    assert len(rows) in (1, 2)
    assert sum(row.count for row in rows) == 12
    row = rows[0]
    assert (row.allow, row.enforced, row.rules) == (True, True, ["role tenant_admin"])
    assert row.tenant_id == author.tenant_id
    assert row.request["principal"] == {"type": "User", "id": author.id}
    assert row.first_at <= row.last_at


def test_what_only_shows_something_is_told_from_what_is_obeyed(author, org, principal_for):
    developer = principal_for(org, Role.DEVELOPER)
    decide(developer, "policies.version.draft")
    with pytest.raises(AccessDenied):
        require(developer, "policies.version.draft")
    rows = kept(action="policies.version.draft")
    assert sorted((row.enforced, row.allow, row.rules[0]) for row in rows) == [
        (False, False, "none"),
        (True, False, "none"),
    ]


def test_nobody_in_particular_the_system_and_unknown_tenants_leave_nothing(platform, author):
    decide(ANONYMOUS, "policies.version.view")
    decide(SYSTEM, "tenants.tenant.manage")
    from dataclasses import replace

    decide(replace(author, tenant_id=uuid7()), "policies.version.view")
    require(author, "policies.version.view")
    assert {row.principal_id for row in kept()} == {author.id}


def test_who_is_refused_elsewhere_is_told_of_at_home(author, other_org, platform, principal_for):
    with pytest.raises(AccessDenied):
        require(
            author, "policies.version.view", ObjectRef("policies.policyversion", "1"), tenant_id=other_org.id
        )
    officer = principal_for(platform, Role.PLATFORM_ADMIN)
    require(
        officer, "policies.version.view", ObjectRef("policies.policyversion", "2"), tenant_id=other_org.id
    )
    assert [row.target_id for row in kept(tenant_id=author.tenant_id)] == ["1"]
    assert [row.target_id for row in kept(tenant_id=other_org.id)] == ["2"]
    with acting(author):
        assert [row.target_id for row in DecisionRecord.objects.all()] == ["1"]


def test_texts_that_the_database_cannot_take_lose_no_batch(author):
    require(author, "policies.version.view")
    decision = replace(
        decide(author, "policies.version.view"),
        target=ObjectRef("a.b", "x\x00" + "y" * 300, label="\x00" * 900),
    )
    recorder.note(decision, {"context": {}, "entities": []})
    large = {"context": {"purpose": "x" * 100_000}, "entities": []}
    recorder.note(decision, large)
    rows = kept(action="policies.version.view")
    assert {len(row.target_id) for row in rows} == {0, 100}
    assert {bool(row.request) for row in rows if row.target_id} == {True, False}


def test_processes_that_write_the_same_rows_at_once_never_wait_for_each_other(author):
    def batch(order: int) -> list[Recorded]:
        found = []
        for number in range(50):
            decision = decide(author, "policies.version.view", ObjectRef("a.b", str(number)))
            found.append(Recorded(f"{number:064}", decision, {}, 1, 1e9, 1e9))
        return found[::order]

    failures = []

    def write(order: int) -> None:
        try:
            for _round in range(20):
                records.keep(batch(order))
        except Exception as error:  # noqa: BLE001  shown by the assertion below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    recorder.forget()
    assert {row.count for row in kept()} == {40}


def test_records_go_after_their_retention(author, settings, monkeypatch):
    monkeypatch.setattr(records, "DROPPED_AT_ONCE", 2)
    for number in range(5):
        require(author, "policies.version.view", ObjectRef("a.b", str(number)))
    old = kept()
    require(author, "policies.version.draft")
    kept()
    with platform_scope(), transaction.atomic():
        week = timezone.now() - timedelta(days=settings.DECISION_RETENTION_DAYS, minutes=1)
        DecisionRecord.objects.filter(pk__in=[row.pk for row in old]).update(last_at=week)
    assert records.drop_old_records() == 5
    assert [row.action for row in kept()] == ["policies.version.draft"]
