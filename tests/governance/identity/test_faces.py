"""REST and command line say the same as the console, and keep to the same rights."""

from __future__ import annotations

import io
import json

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command

from governance.identity.models import IdentityPolicy, IdentityProvider
from governance.principals import Role
from tests.factories.governance import bearer_token, make_application
from tests.site.pages.test_frame import assert_strict

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

PROVIDER = {
    "name": "Bank",
    "issuer": "https://idp.bank.example",
    "client_id": "openclaw",
    "client_secret": "hush",
    "mappings": [{"value": "staff", "role": "developer"}],
}


def send(client, method: str, path: str, body: dict):
    return getattr(client, method)(f"/api/v1/{path}", json.dumps(body), content_type="application/json")


def run(*arguments: str, stdin: str = "", monkeypatch=None) -> str:
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command("identity", *arguments, stdout=out)
    return out.getvalue()


class TestRest:
    """Of one's own tenant, with the right."""

    def test_a_provider_is_made_and_changed(self, org, person, everything):
        admin = person(org, Role.TENANT_ADMIN).client
        made = send(admin, "post", "identity-providers/", PROVIDER)
        assert made.status_code == 201, made.content
        assert "hush" not in made.content.decode()
        body = made.json()
        assert body["discovery_url"] == "https://idp.bank.example/.well-known/openid-configuration"
        changed = send(
            admin, "patch", f"identity-providers/{body['id']}/", {"enabled": False, "mappings": []}
        ).json()
        assert (changed["enabled"], changed["mappings"], changed["has_secret"]) == (False, [], True)

    @pytest.mark.parametrize(
        "change",
        [
            {"issuer": "http://idp.bank.example"},
            {"issuer": "nonsense"},
            {"mappings": [{"value": "staff", "role": "platform_admin"}]},
            {"mappings": [{"value": "staff", "role": "nobody"}]},
            {"name": ""},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, org, person, everything, change):
        admin = person(org, Role.TENANT_ADMIN).client
        assert send(admin, "post", "identity-providers/", PROVIDER | change).status_code == 400
        assert everything(IdentityProvider) == []

    def test_rules_are_read_and_set(self, org, person):
        admin = person(org, Role.TENANT_ADMIN).client
        wanted = {"second_factor_roles": ["tenant_admin"], "session_hours": 4, "idle_minutes": 15}
        assert admin.get("/api/v1/identity-policy/").json()["idle_minutes"] == 30
        assert send(admin, "put", "identity-policy/", wanted).json() == wanted
        assert admin.get("/api/v1/identity-policy/").json() == wanted

    def test_sessions_are_listed_and_ended(self, org, other_org, person):
        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN).client
        person(other_org, Role.DEVELOPER)
        rows = admin.get("/api/v1/user-sessions/").json()["results"]
        assert len(rows) == 2
        (theirs,) = [row for row in rows if row["username"] == anna.user.username]
        assert send(admin, "post", f"user-sessions/{theirs['id']}/end/", {}).status_code == 204
        assert anna.client.get("/console/").status_code == 302

    def test_all_sessions_of_a_person_are_ended(self, org, other_org, person):
        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN).client
        assert anna.client.get("/console/").status_code == 200
        path = f"identity-people/{anna.user.pk}/end-sessions/"
        stranger = person(other_org, Role.TENANT_ADMIN).client
        assert send(stranger, "post", path, {"reason": "x"}).status_code == 404
        assert send(anna.client, "post", path, {"reason": "x"}).status_code == 403
        assert send(admin, "post", path, {"reason": "laptop lost"}).json() == {"ended": 1}
        assert anna.client.get("/console/").status_code == 302

    def test_second_factors_are_taken_away(self, org, person):
        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN).client
        anna.set_up_app()
        (row,) = [r for r in admin.get("/api/v1/identity-people/").json() if r["kinds"]]
        assert (row["user"], row["kinds"]) == (str(anna.user.pk), ["totp"])
        path = f"identity-people/{anna.user.pk}/reset-factors/"
        assert send(admin, "post", path, {}).status_code == 400
        assert send(admin, "post", path, {"reason": "phone lost"}).json() == {"removed": 2}
        assert not Authenticator.objects.exists()

    @pytest.mark.parametrize(
        "path", ["identity-providers/", "user-sessions/", "identity-policy/", "identity-people/"]
    )
    def test_it_is_not_for_developers(self, org, person, path):
        assert person(org, Role.DEVELOPER).client.get(f"/api/v1/{path}").status_code == 403

    def test_a_program_needs_the_scope(self, org, member):
        owner = member(org, Role.TENANT_ADMIN)
        for scopes, expected in ((["tenant:manage"], 200), (["models:read"], 403)):
            application, secret = make_application(org, scopes=scopes, role=Role.TENANT_ADMIN, owner=owner)
            headers = {"Authorization": f"Bearer {bearer_token(application, secret)}"}
            from django.test import Client

            assert Client().get("/api/v1/identity-policy/", headers=headers).status_code == expected


class TestCommand:
    """`openclaw identity …`."""

    def test_providers(self, org, everything, monkeypatch):
        made = run(
            "provider-add", "--tenant=bank", "--name=Bank", "--issuer=https://idp.bank.example",
            "--client-id=openclaw", "--group=staff=developer", stdin="hush\n", monkeypatch=monkeypatch,
        )  # fmt: skip
        assert "hush" not in made
        assert "  staff = developer" in run("providers", "--tenant=bank")
        assert "disabled" in run("provider-change", "Bank", "--tenant=bank", "--disable")
        assert [(row.enabled, bool(row.sealed_secret)) for row in everything(IdentityProvider)] == [
            (False, True)
        ]

    def test_rules(self, org, everything):
        assert "nobody must" in run("rules", "--tenant=bank")
        said = run("rules", "--tenant=bank", "--second-factor=tenant_admin", "--idle-minutes=10")
        assert "tenant_admin" in said
        assert "8 h, without activity 10 min" in said
        assert "nobody must" in run("rules", "--tenant=bank", "--second-factor=none")
        assert [row.idle_minutes for row in everything(IdentityPolicy)] == [10]

    def test_sessions_and_lost_factors(self, org, person, log):
        anna = person(org, Role.DEVELOPER)
        anna.set_up_app()
        name = anna.user.username
        assert name in run("sessions", "--tenant=bank")
        assert run("end-sessions", name, "--tenant=bank").startswith("1 ")
        assert anna.client.get("/console/").status_code == 302
        assert run("reset-factors", name, "--tenant=bank", "--reason=phone lost").startswith("2 ")
        assert log("identity.factor.reset")[0].actor_kind == "system"

    def test_one_session_ends_and_only_in_its_tenant(self, org, other_org, person):
        anna = person(org, Role.DEVELOPER, username="anna")
        assert anna.client.get("/account/security/").status_code == 200
        session = run("sessions", f"--tenant={org.slug}").split()[0]
        with pytest.raises(CommandError, match="no such session"):
            run("end-session", f"--tenant={other_org.slug}", session)
        assert "has ended" in run("end-session", f"--tenant={org.slug}", session)
        assert run("sessions", f"--tenant={org.slug}") == ""
        assert anna.client.get("/account/security/").status_code == 302

    @pytest.mark.parametrize(
        "arguments",
        [
            ("sessions", "--tenant=nowhere"),
            ("end-sessions", "nobody", "--tenant=bank"),
            ("rules", "--tenant=bank", "--second-factor=nonsense"),
            ("rules", "--tenant=bank", "--idle-minutes=1"),
            ("provider-change", "none", "--tenant=bank"),
        ],
    )
    def test_what_cannot_be_done_is_one_sentence(self, org, arguments):
        with pytest.raises(CommandError):
            run(*arguments)


class TestPages:
    """Every page keeps the strict policy and is there for whom it is meant."""

    def test_the_consoles(self, org, person):
        admin = person(org, Role.TENANT_ADMIN)
        admin.set_up_app()
        for name in ("providers/", "providers/new/", "rules/", "sessions/", "people/"):
            page = admin.client.get(f"/console/identity/{name}")
            assert page.status_code == 200, name
            assert_strict(page)
        developer = person(org, Role.DEVELOPER)
        for name in ("providers/", "rules/", "sessions/", "people/"):
            assert developer.client.get(f"/console/identity/{name}").status_code == 403

    def test_ones_own(self, org, person):
        anna = person(org, Role.DEVELOPER, Host="localhost")
        for path in (
            "/account/security/",
            "/account/security/totp/",
            "/account/security/passkeys/",
            "/accounts/reauthenticate/",
            "/accounts/password/",
        ):
            page = anna.client.get(path)
            assert page.status_code == 200, path
            assert_strict(page)
        anna.set_up_app()
        assert_strict(anna.post("/account/security/recovery-codes/"))
        assert_strict(anna.client.get("/account/security/"))
        anna.client.logout()
        for path in ("/accounts/login/", "/accounts/company/"):
            assert_strict(anna.client.get(path))
        anna.sign_in()
        assert_strict(anna.client.get("/accounts/second-factor/"))

    def test_an_address_without_a_name_can_have_no_passkeys_and_says_so(self, org, person):
        anna = person(org, Role.DEVELOPER, Host="127.0.0.1")
        assert b"localhost" in anna.client.get("/account/security/passkeys/").content
        assert b"data-passkey" not in anna.client.get("/account/security/passkeys/").content
