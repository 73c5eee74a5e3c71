"""Retention, holds and a narrowed export at the machine."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.audit.models import LegalHold, RetentionPolicy
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.governance import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(monkeypatch):
    """`run("list")`; standard input has the right password."""

    def keep(*arguments: str) -> str:
        monkeypatch.setattr("sys.stdin", StringIO(f"{PASSWORD}\n"))
        out = StringIO()
        call_command("audit_keeping", *arguments, stdout=out)
        return out.getvalue()

    return keep


def test_retention_and_a_hold_that_a_second_person_releases(org, member, run):
    for name in ("boss", "second"):
        member(org, Role.TENANT_ADMIN, username=name)
    assert "kept for ever" in run("list")
    who = ("--tenant", org.slug, "--as", "boss", "--reason", "as the contract says")
    with pytest.raises(CommandError, match="180"):
        run("retain", "--days", "10", *who)
    assert "400 days" in run("retain", "--days", "400", *who)
    held = run("hold", "--from", "2026-01-01", *who).split()[-1]
    with pytest.raises(CommandError, match="yourself"):
        run("release", held, *who)
    listed = run("list")
    assert "bank: kept for 400 days" in listed
    assert f"{held} bank: hold by boss, in force" in listed
    assert "Released" in run("release", held, "--tenant", org.slug, "--as", "second", "--reason", "settled")
    assert "kept for ever" in run("retain", "--for-ever", *who)
    with platform_scope(), transaction.atomic():
        assert LegalHold.objects.get().released_by.username == "second"
        assert not RetentionPolicy.objects.exists()
    with pytest.raises(CommandError, match="no id"):
        run("release", "nonsense", *who)


def test_an_export_is_narrowed_like_the_page(org, entries, write, tmp_path):
    write(org, action="other.thing.change", reason="because of the moon")
    found = []
    for number, filters in enumerate((("--action", "other."), ("--text", "moon"), ("--target-id", "2"))):
        file = tmp_path / f"{number}.jsonl"
        call_command("audit_export", "--tenant", org.slug, "--output", str(file), *filters)
        found.append([json.loads(line)["action"] for line in file.read_text().splitlines()])
    assert found == [["other.thing.change"], ["other.thing.change"], ["test.thing.change"]]
