"""Tenants, people and memberships by REST and at the machine itself: the same services, the same bounds."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.hashers import check_password
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from governance.access.models import Application
from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User
from tests.factories.governance import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("access", *arguments, stdout=out)
    return out.getvalue()


def roles_of(user: User) -> set[str]:
    with platform_scope(), transaction.atomic():
        return set(Membership.objects.filter(user=user).values_list("role", flat=True))


def reasons(action: str) -> set[str]:
    with platform_scope(), transaction.atomic():
        return set(AuditEntry.objects.filter(action=action).values_list("reason", flat=True))


@pytest.fixture
def browser(member):
    def signed_in(tenant, role) -> Client:
        made = Client()
        made.force_login(member(tenant, role), backend="django.contrib.auth.backends.ModelBackend")
        return made

    return signed_in


def post(client: Client, path: str, **body: str):
    return client.post(f"/api/v1/{path}", body, content_type="application/json")


def test_at_the_machine(org, member):
    member(org, Role.TENANT_ADMIN, username="boss")
    dana = member(org, Role.DEVELOPER, username="dana")
    assert "bank: Bank (organisation)" in run("tenants")
    run("suspend", "bank", "--reason", "an incident")
    assert "bank: Bank (organisation, suspended)" in run("tenants")
    run("resume", "bank", "--reason", "over")
    assert reasons("tenants.tenant.suspend") == {"an incident"}
    assert "is disabled" in run("disable", "dana", "--reason", "a lost laptop")
    assert "dana: developer, disabled" in run("members", "--tenant", "bank")
    run("enable", "dana", "--reason", "found")
    run("give", "dana", "data_scientist", "--tenant", "bank")
    assert roles_of(dana) == {"developer", "data_scientist"}
    run("take", "dana", "developer", "--tenant", "bank", "--reason", "moved")
    rows = json.loads(run("members", "--tenant", "bank", "--json"))
    assert {(row["account"], row["role"]) for row in rows} == {
        ("boss", "tenant_admin"),
        ("dana", "data_scientist"),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suspend", "nowhere", "--reason", "x"), "no tenant"),
        (("disable", "ghost", "--reason", "x"), "no account"),
        (("disable", "boss", "--reason", " "), "Give a reason"),
        (("take", "boss", "developer", "--tenant", "bank", "--reason", "x"), "is not developer"),
        (("take", "boss", "tenant_admin", "--tenant", "bank", "--reason", "x"), "last administrator"),
        (("give", "boss", "reviewer", "--tenant", "bank"), "does not exist in a tenant of this kind"),
        (("suspend", "platform", "--reason", "x"), "cannot be suspended"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(arguments, words, org, member):
    boss = member(org, Role.TENANT_ADMIN, username="boss")
    with pytest.raises(CommandError, match=words):
        run(*arguments)
    assert roles_of(boss) == {"tenant_admin"}


def test_the_platform_by_rest(org, platform, member, browser):
    root = browser(platform, Role.PLATFORM_ADMIN)
    dana = member(org, Role.DEVELOPER, username="dana")
    assert post(root, f"people/{dana.pk}/disable/").status_code == 400, "without a reason"
    answer = post(root, f"people/{dana.pk}/disable/", reason="a lost laptop")
    assert (answer.status_code, answer.json()["is_active"]) == (200, False)
    assert post(root, f"people/{dana.pk}/enable/", reason="found").json()["is_active"] is True
    assert post(root, f"tenants/{org.pk}/suspend/", reason="an incident").json()["suspended_at"]
    assert post(root, f"tenants/{org.pk}/resume/", reason="over").json()["suspended_at"] is None
    assert {row["slug"] for row in root.get("/api/v1/tenants/").json()["results"]} == {"bank", "platform"}
    with platform_scope(), transaction.atomic():
        assert Tenant.objects.get(pk=org.pk).suspended_at is None


def test_a_tenants_administrator_by_rest(org, other_org, member, browser):
    admin, developer = browser(org, Role.TENANT_ADMIN), browser(org, Role.DEVELOPER)
    dana = member(org, Role.DEVELOPER, username="dana")
    stranger = member(other_org, Role.DEVELOPER, username="stranger")
    people = {row["username"] for row in admin.get("/api/v1/people/").json()["results"]}
    assert "dana" in people
    assert "stranger" not in people
    assert [row["slug"] for row in admin.get("/api/v1/tenants/").json()["results"]] == ["bank"]
    made = post(admin, "memberships/", user=str(dana.pk), role="data_scientist")
    assert made.status_code == 201
    assert roles_of(dana) == {"developer", "data_scientist"}
    assert post(admin, "memberships/", user=str(stranger.pk), role="developer").status_code == 404
    assert (
        post(admin, "memberships/", user=str(dana.pk), role="developer", tenant=str(other_org.pk)).status_code
        == 403
    )
    taken = post(admin, f"memberships/{made.json()['id']}/remove/", reason="moved")
    assert taken.status_code == 204
    assert roles_of(dana) == {"developer"}
    (last,) = admin.get("/api/v1/memberships/", {"role": "tenant_admin"}).json()["results"]
    assert post(admin, f"memberships/{last['id']}/remove/", reason="oops").status_code == 409
    for path in (
        f"people/{dana.pk}/disable/",
        f"people/{stranger.pk}/disable/",
        f"tenants/{org.pk}/suspend/",
        f"tenants/{other_org.pk}/suspend/",
    ):
        assert post(admin, path, reason="x").status_code == 403, path
    for path in (f"people/{stranger.pk}/", f"tenants/{other_org.pk}/"):
        assert admin.get(f"/api/v1/{path}").status_code == 404, path
    for path in ("people/", "memberships/", "tenants/"):
        assert developer.get(f"/api/v1/{path}").status_code == 403


def test_a_tenant_and_its_clients_at_the_machine(member, monkeypatch):
    assert "harbour is there" in run("add-tenant", "harbour", "The harbour", "--kind", "organisation")
    with pytest.raises(CommandError, match="already a tenant"):
        run("add-tenant", "harbour", "Another", "--kind", "organisation")
    with platform_scope(), transaction.atomic():
        harbour = Tenant.objects.get(slug="harbour")
    anna = member(harbour, Role.TENANT_ADMIN, username="anna")
    making = ("add-application", "scoring", "--scope", "models:infer", "--tenant", "harbour", "--as", "anna")
    monkeypatch.setattr("sys.stdin", StringIO("a guess\n"))
    with pytest.raises(CommandError, match="not right"):
        run(*making)
    monkeypatch.setattr("sys.stdin", StringIO(f"{PASSWORD}\n"))
    said = run(*making).splitlines()
    client_id, secret = (line.rpartition(" ")[2] for line in said)
    with platform_scope(), transaction.atomic():
        made = Application.objects.get(client_id=client_id)
        assert (made.user_id, made.tenant_id, made.require_dpop) == (anna.pk, harbour.pk, False)
        assert check_password(secret, made.client_secret)
    assert "bound tokens only" in run("require-dpop", client_id, "--tenant", "harbour")
    with pytest.raises(CommandError, match="no application"):
        run("disable-application", client_id, "--tenant", "platform", "--reason", "x")
    run("disable-application", client_id, "--tenant", "harbour", "--reason", "replaced")
    listed = json.loads(run("applications", "--tenant", "harbour", "--json"))
    assert listed == [{"client_id": client_id, "name": "scoring", "require_dpop": True, "active": False}]
    assert reasons("access.application.disable") == {"replaced"}


def test_tenants_and_people_are_made_by_rest(org, other_org, platform, browser):
    root, admin = browser(platform, Role.PLATFORM_ADMIN), browser(org, Role.TENANT_ADMIN)
    harbour = {"slug": "harbour", "name": "The harbour", "kind": "organisation"}
    made = post(root, "tenants/", **harbour)
    assert (made.status_code, made.json()["slug"]) == (201, "harbour")
    again = post(root, "tenants/", **harbour)
    assert (again.status_code, again.headers["Content-Type"]) == (409, "application/problem+json")
    assert "already a tenant" in again.json()["detail"]
    for wrong in ({"kind": "platform"}, {"slug": "two words"}, {"name": ""}):
        refused = post(root, "tenants/", **(harbour | {"slug": "quay"} | wrong))
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == f"/{next(iter(wrong))}"
    assert post(admin, "tenants/", **(harbour | {"slug": "mine"})).status_code == 403

    first = {"username": "hanna", "password": PASSWORD, "role": "tenant_admin", "tenant": made.json()["id"]}
    hanna = post(root, "people/", **first)
    assert (hanna.status_code, hanna.json()["username"]) == (201, "hanna")
    assert "password" not in hanna.json()
    with platform_scope(), transaction.atomic():
        held = Membership.objects.get(user_id=hanna.json()["id"])
        assert (held.tenant.slug, held.role) == ("harbour", "tenant_admin")
        assert check_password(PASSWORD, held.user.password)

    dana = post(admin, "people/", username="dana", password=PASSWORD, role="developer")
    assert (dana.status_code, dana.json()["username"]) == (201, "dana@bank")
    assert "dana@bank" in {row["username"] for row in admin.get("/api/v1/people/").json()["results"]}


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"password": "12345"}, 400),
        ({"role": "service"}, 400),
        ({"role": "reviewer"}, 400),
        ({"username": "a b"}, 400),
        ({"email": "nobody"}, 400),
        ({"tenant": "other"}, 403),
    ],
)
def test_a_person_who_cannot_be_made_is_not_half_made(wrong, status, org, other_org, browser):
    admin = browser(org, Role.TENANT_ADMIN)
    if "tenant" in wrong:
        wrong = {"tenant": str(other_org.pk)}
    body = {"username": "dana", "password": PASSWORD, "role": "developer"} | wrong
    answer = post(admin, "people/", **body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert not User.objects.filter(username__startswith="dana").exists()
    assert post(browser(org, Role.DEVELOPER), "people/", **body).status_code in (400, 403)


def test_an_account_is_made_at_the_machine(org, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("12345\n"))
    with pytest.raises(CommandError, match="too weak"):
        run("add-account", "anna", "developer", "--tenant", "bank")
    monkeypatch.setattr("sys.stdin", StringIO(f"{PASSWORD}\n"))
    with pytest.raises(CommandError, match="does not exist in a tenant of this kind"):
        run("add-account", "anna", "reviewer", "--tenant", "bank")
    monkeypatch.setattr("sys.stdin", StringIO(f"{PASSWORD}\n"))
    assert run("add-account", "anna", "developer", "--tenant", "bank") == "anna is developer in bank.\n"
    assert roles_of(User.objects.get(username="anna")) == {"developer"}
