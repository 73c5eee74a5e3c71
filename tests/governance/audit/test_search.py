"""Searching by everything an auditor asks, page by page, and taking the result away as a file."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from governance.audit import export
from governance.audit.models import AuditEntry
from governance.audit.selectors import Search, batches, page_of, search
from governance.audit.services import record
from governance.errors import InvalidInput
from governance.principals import Principal, Role
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, request_id, row_scope, tenant_context

pytestmark = pytest.mark.django_db(transaction=True)

ANNA = Principal(kind="user", id="0190aaaa-0000-7000-8000-00000000000a", label="anna")
BORIS = Principal(kind="user", id="0190aaaa-0000-7000-8000-00000000000b", label="boris")


@pytest.fixture
def log(org, other_org):
    def add(principal, action, **given):
        with platform_scope():
            return record(
                principal=principal, action=action, tenant_id=given.pop("tenant_id", org.id), **given
            )

    with request_id("request-1"):
        add(
            ANNA,
            "registry.version.hold",
            target=ObjectRef("registry.version", "v1"),
            reason="it leaks 50%_of it",
        )
    add(BORIS, "registry.version.retire", target=ObjectRef("registry.version", "v2"))
    add(BORIS, "rollouts.endpoint.split", decision="deny", reason="no role allows it")
    add(ANNA, "registry.version.hold", tenant_id=other_org.id)


def found(principal, **wanted):
    scope = RowScope(tenant_id=principal.tenant_id, platform=principal.platform)
    with row_scope(scope), transaction.atomic():
        return [row.action for row in search(principal, Search(**wanted))]


@pytest.mark.parametrize(
    ("wanted", "actions"),
    [
        ({}, ["rollouts.endpoint.split", "registry.version.retire", "registry.version.hold"]),
        ({"actor": "ann"}, ["registry.version.hold"]),
        ({"actor": BORIS.id}, ["rollouts.endpoint.split", "registry.version.retire"]),
        ({"actor_id": ANNA.id}, ["registry.version.hold"]),
        ({"action": "registry."}, ["registry.version.retire", "registry.version.hold"]),
        ({"action": "registry.version.h"}, ["registry.version.hold"]),
        ({"action": "%"}, []),
        ({"target_type": "registry.version", "target_id": "v2"}, ["registry.version.retire"]),
        ({"decision": "deny"}, ["rollouts.endpoint.split"]),
        ({"request_id": "request-1"}, ["registry.version.hold"]),
        ({"text": "LEAKS 50%_"}, ["registry.version.hold"]),
        ({"text": "50%x"}, []),
        ({"action": "registry.", "actor": "boris"}, ["registry.version.retire"]),
        ({"since": timezone.now() + timedelta(days=1)}, []),
        ({"until": timezone.now() - timedelta(days=1)}, []),
    ],
)
def test_every_filter_narrows(org, log, principal_for, wanted, actions):
    assert found(principal_for(org, Role.TENANT_ADMIN), **wanted) == actions


def test_a_tenant_sees_its_own_chain_and_the_auditor_every_one(org, other_org, platform, log, principal_for):
    assert len(found(principal_for(other_org, Role.TENANT_ADMIN))) == 1
    admin = principal_for(org, Role.TENANT_ADMIN)
    assert found(admin, tenant=other_org.id) == []
    auditor = principal_for(platform, Role.AUDITOR)
    assert len(found(auditor)) == 4
    assert found(auditor, tenant=other_org.id) == ["registry.version.hold"]


def test_pages_are_stable_and_complete(org, write, clock):
    instant = timezone.now()
    clock(timedelta(days=-1))
    write(org, 7)
    del instant
    with platform_scope(), transaction.atomic():
        AuditEntry.objects.count()
        rows = AuditEntry.objects.filter(tenant=org).order_by("-at", "-sequence", "-id")
        seen, after = [], ""
        while True:
            page = page_of(rows, after=after, size=3)
            seen += [row.sequence for row in page.rows]
            if not page.next:
                break
            after = page.next
        assert seen == [7, 6, 5, 4, 3, 2, 1]
        assert [len(batch) for batch in batches(rows, size=2)] == [2, 2, 2, 1]
        assert list(batches(rows.filter(action="nothing"))) == []


@pytest.mark.parametrize(
    "mark", ["x", "a~b~c", "2026-01-01~1~x", "2026-01-01T00:00:00~1~" + "0" * 32, "~~", f"{'9' * 400}~1~1"]
)
def test_a_page_that_does_not_exist_is_refused(org, mark):
    with pytest.raises(InvalidInput):
        page_of(AuditEntry.objects.all(), after=mark)


def test_searches_of_a_tenant_use_an_index(org, write, superuser):
    """The plan of a big table; the planner would read a small one whole."""
    write(org, 2)
    plans = {
        "audit_tenant_at": Search(),
        "audit_request": Search(request_id="r"),
        "audit_target": Search(target_type="t", target_id="1"),
        "audit_actor": Search(actor_id="a"),
        "audit_action": Search(action="registry."),
    }
    names = {
        "audit_tenant_at": ("tenant_id_at",),
        "audit_request": ("request_id",),
        "audit_target": ("target",),
        "audit_actor": ("actor_id",),
        "audit_action": ("action",),
    }
    platform = Principal(kind="user", id="", label="", platform=True)
    tenant = Principal(kind="user", id="", label="", tenant_id=org.id)
    with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for index, wanted in plans.items():
            who = tenant if index == "audit_tenant_at" else platform
            plan = (
                search(who, wanted).order_by()[:50].explain()
                if who is platform
                else search(who, wanted)[:50].explain()
            )
            assert any(part in plan for part in names[index]), (index, plan)


def read(principal, wanted, form):
    return b"".join(export.pieces(principal=principal, wanted=wanted, form=form))


def test_json_lines_hold_everything_and_read_back(org, log, principal_for, monkeypatch):
    monkeypatch.setattr(export, "PIECE_ROWS", 2)
    admin = principal_for(org, Role.TENANT_ADMIN)
    lines = [json.loads(line) for line in read(admin, Search(), "jsonl").splitlines()]
    with tenant_context(org.id), transaction.atomic():
        rows = list(AuditEntry.objects.order_by("-sequence"))
    assert [line["entry_hash"] for line in lines] == [row.entry_hash for row in rows]
    assert [line["details"] for line in lines] == [row.details for row in rows]
    assert set(lines[0]) == set(export.COLUMNS)


def test_csv_reads_back_and_runs_nothing_in_a_spreadsheet(org, principal_for, write):
    evil = ['=cmd|" /C calc"!A0', "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'quote " and , comma', "two\nlines"]
    for reason in evil:
        write(org, 1, reason=reason)
    admin = principal_for(org, Role.TENANT_ADMIN)
    rows = list(csv.DictReader(io.StringIO(read(admin, Search(), "csv").decode(), newline="")))
    assert [row["reason"].removeprefix("'") for row in reversed(rows)] == evil
    for row in rows:
        for value in row.values():
            assert not value.startswith(export.FORMULA_BEGINS)
    assert json.loads(rows[0]["details"])["ratio"] == "0.1"


@given(value=st.text())
def test_no_cell_begins_a_formula(value):
    assert not export._cell(value).startswith(export.FORMULA_BEGINS)
    assert export._cell(value).removeprefix("'") == value.removeprefix("'")


def test_an_export_is_recorded_and_holds_nothing_that_came_later(org, log, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id):
        fixed = export.begin_export(principal=admin, wanted=Search(action="registry."), form="csv")
        with transaction.atomic():
            entry = AuditEntry.objects.get(action="audit.entry.export")
    assert entry.details["format"] == "csv"
    assert entry.details["search"]["action"] == "registry."
    assert fixed.until is not None
    assert read(admin, Search(until=fixed.until), "jsonl").count(b"\n") == 3


def test_the_command_exports_a_tenants_time(org, other_org, log, tmp_path):
    file = tmp_path / "log.csv"
    today = f"{timezone.now():%Y-%m-%d}"
    call_command("audit_export", tenant=org.slug, since=today, format="csv", output=str(file))
    assert len(file.read_text().splitlines()) == 4
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("audit_export", output=str(file))
    with pytest.raises(CommandError, match="no day"):
        call_command("audit_export", since="yesterday", output=str(tmp_path / "x"))
    with pytest.raises(CommandError, match="no tenant"):
        call_command("audit_export", tenant="nobody", output=str(tmp_path / "x"))
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(action="audit.entry.export").count() == 2
