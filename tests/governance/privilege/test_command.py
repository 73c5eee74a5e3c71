"""The command line asks the same services."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.privilege.models import RemovalProposal, RightKind
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership
from tests.factories.governance import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("privilege", *arguments, stdout=out)
    return out.getvalue()


def test_review_and_removal(org, member):
    member(org, Role.TENANT_ADMIN, username="boss")
    member(org, Role.DEVELOPER, Role.DATA_SCIENTIST, username="dana")
    rows = json.loads(run("review", "--tenant", org.slug, "--json"))
    assert {(row["account"], row["name"], row["count"]) for row in rows} >= {
        ("boss", "tenant_admin", 0),
        ("dana", "developer", 0),
    }
    assert "dana: developer (never used)" in run("review", "--tenant", org.slug)
    run("remove", "dana", "developer", "--tenant", org.slug, "--reason", "moved to another team")
    with platform_scope(), transaction.atomic():
        assert set(Membership.objects.filter(user__username="dana").values_list("role", flat=True)) == {
            "data_scientist"
        }
        assert AuditEntry.objects.get(action="privilege.right.remove").reason == "moved to another team"


def test_nothing_to_tell_and_nonsense(org, member):
    assert "in use" in run("unused", "--tenant", org.slug)
    assert "No emergency" in run("alarms")
    with pytest.raises(CommandError, match="no tenant"):
        run("review", "--tenant", "nowhere")
    with pytest.raises(CommandError, match="no account"):
        run("remove", "ghost", "developer", "--tenant", org.slug, "--reason", "x")


@pytest.fixture
def types(monkeypatch):
    """`types("word")`: what stands on standard input next."""
    return lambda text: monkeypatch.setattr("sys.stdin", StringIO(f"{text}\n"))


def test_an_elevation_between_two_people(org, other_org, member, types):
    member(org, Role.TENANT_ADMIN, username="boss")
    dana = member(org, Role.DEVELOPER, username="dana")
    asking = ("request", "data_scientist", "--minutes", "5", "--tenant", org.slug, "--as", "dana")
    types("a guess")
    with pytest.raises(CommandError, match="not right"):
        run(*asking, "--reason", "the nightly batch is stuck")
    types(PASSWORD)
    asked = run(*asking, "--reason", "the nightly batch is stuck").split()[-1]
    assert f"{asked} dana as data_scientist for 5 minutes, requested" in run(
        "elevations", "--tenant", org.slug
    )
    deciding = (asked, "--tenant", org.slug, "--reason", "go on")
    types(PASSWORD)
    with pytest.raises(CommandError, match="You may not do this"):
        run("approve", *deciding, "--as", "dana")
    types(PASSWORD)
    assert "has begun" in run("approve", *deciding, "--as", "boss")
    with platform_scope(), transaction.atomic():
        assert Membership.objects.filter(user=dana, role="data_scientist").exists()
    types(PASSWORD)
    with pytest.raises(CommandError, match="nothing to review"):
        run("review-glass", asked, "--tenant", org.slug, "--reason", "it was needed", "--as", "boss")
    run("end", asked, "--reason", "done")
    types(PASSWORD)
    again = run(*asking, "--reason", "the nightly batch is stuck").split()[-1]
    types(PASSWORD)
    assert "Withdrawn" in run("withdraw", again, "--tenant", org.slug, "--as", "dana")
    rows = json.loads(run("elevations", "--tenant", org.slug, "--json"))
    assert [row["state"] for row in rows] == ["withdrawn", "ended"]
    member(other_org, Role.TENANT_ADMIN, username="stranger")
    types(PASSWORD)
    with pytest.raises(CommandError, match="organisation is not right"):
        run("approve", *deciding, "--as", "stranger")
    with pytest.raises(CommandError, match="no id"):
        run("end", "nonsense", "--reason", "x")


def test_holders_and_bounds(org, member, types):
    member(org, Role.TENANT_ADMIN, username="boss")
    by_boss = ("--tenant", org.slug, "--as", "boss")
    named = ("boss", "tenant_admin", *by_boss)
    types("a guess")
    with pytest.raises(CommandError, match="not right"):
        run("name-holder", *named)
    types(PASSWORD)
    run("name-holder", *named)
    assert "boss as tenant_admin" in run("holders", "--tenant", org.slug)
    types(PASSWORD)
    run("remove-holder", *named)
    assert run("holders", "--tenant", org.slug) == ""
    with pytest.raises(CommandError, match="not named"):
        run("remove-holder", *named)
    types(PASSWORD)
    assert "unused after days: 30" in run("bounds", *by_boss, "--unused-after-days", "30")
    kept = run("bounds", "--tenant", org.slug)
    assert "unused after days: 30" in kept
    with pytest.raises(CommandError, match="Say who"):
        run("bounds", "--tenant", org.slug, "--unused-after-days", "40")
    types(PASSWORD)
    with pytest.raises(CommandError, match="greater than"):
        run("bounds", *by_boss, "--unused-after-days", "1")
    assert run("bounds", "--tenant", org.slug) == kept


def test_an_unused_right_is_kept(org, member):
    dana = member(org, Role.DEVELOPER, username="dana")
    with platform_scope(), transaction.atomic():
        made = RemovalProposal.objects.create(
            tenant=org,
            account=dana,
            kind=RightKind.ROLE,
            name="developer",
            object_id="",
            unused_since=timezone.now() - timedelta(days=90),
        )
    assert str(made.id) in run("unused", "--tenant", org.slug)
    run("keep", str(made.id), "--reason", "needed at the end of the year")
    with platform_scope(), transaction.atomic():
        made.refresh_from_db()
        assert made.state == "kept"
        assert AuditEntry.objects.get(action="privilege.right.keep").reason == "needed at the end of the year"
        assert Membership.objects.filter(user=dana).exists()
