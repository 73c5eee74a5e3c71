"""The command line asks the same services."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.principals import Role
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
