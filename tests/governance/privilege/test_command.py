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
