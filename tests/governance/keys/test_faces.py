"""Keys over REST, in the console, and at the command line; none of them shows key material."""

from __future__ import annotations

import io
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from governance.keys import envelopes, services
from governance.keys.checks import check_token_settings
from governance.keys.models import DataKey, Destruction, KeyState, ReEncryption, WrappingKey
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]
PURPOSE = "test.secret"


@pytest.fixture
def blob(org):
    with tenant_context(org.id):
        return envelopes.seal(b"seed", tenant_id=org.id, purpose=PURPOSE, object_id="1")


@pytest.fixture
def client_for(member):
    def build(tenant, *roles):
        client = Client()
        person = member(tenant, *roles)
        client.force_login(person)
        client.person = person
        return client

    return build


@pytest.fixture
def admin(client_for, org):
    return client_for(org, Role.TENANT_ADMIN)


def test_the_rest_api_shows_states_and_never_keys(admin, blob, org):
    with tenant_context(org.id):
        wrapped = bytes(DataKey.objects.get().wrapped)
    provider = admin.get("/api/v1/key-provider/").json()
    assert (provider["name"], provider["ok"], provider["is_hardware"]) == ("software", True, False)
    assert provider["warnings"]
    (key,) = admin.get("/api/v1/data-keys/").json()["results"]
    assert (key["purpose"], key["number"], key["state"]) == (PURPOSE, 1, "active")
    assert "wrapped" not in key
    assert wrapped.hex() not in json.dumps(key)
    (wrapping,) = admin.get("/api/v1/wrapping-keys/").json()["results"]
    assert wrapping["state"] == "active"


def test_rotation_over_rest(admin, blob, org):
    with tenant_context(org.id):
        data_key = DataKey.objects.get()
    made = admin.post(f"/api/v1/data-keys/{data_key.id}/rotate/", {}, "application/json")
    assert (made.status_code, made.json()["number"]) == (201, 2)
    made = admin.post("/api/v1/wrapping-keys/rotate/", {"reason": "yearly"}, "application/json")
    assert (made.status_code, made.json()["number"]) == (201, 2)
    job = admin.post("/api/v1/re-encryptions/", {}, "application/json")
    assert (job.status_code, job.json()["state"]) == (201, "queued")
    again = admin.post("/api/v1/re-encryptions/", {}, "application/json")
    assert (again.status_code, again.json()["type"]) == (409, "urn:openclaw:problem:conflict")
    done = admin.post(f"/api/v1/re-encryptions/{job.json()['id']}/cancel/", {}, "application/json")
    assert done.json()["state"] == "cancelled"


def test_another_tenants_keys_cannot_be_touched_or_seen(client_for, other_org, blob, org):
    stranger = client_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(org.id):
        data_key = DataKey.objects.get()
    assert stranger.get("/api/v1/data-keys/").json()["results"] == []
    assert stranger.post(f"/api/v1/data-keys/{data_key.id}/rotate/").status_code == 404
    for body in ({"tenant": str(org.id)}, {"tenant": "00000000-0000-7000-8000-000000000000"}):
        assert stranger.post("/api/v1/wrapping-keys/rotate/", body, "application/json").status_code == 403
    assert stranger.get(f"/console/keys/{org.id}/").status_code == 403
    assert stranger.post(f"/console/keys/{org.id}/rotate/").status_code == 403
    with tenant_context(org.id):
        assert WrappingKey.objects.count() == 1


def test_destruction_over_rest_takes_two(admin, client_for, blob, org):
    asked = admin.post("/api/v1/key-destructions/", {"reason": "contract ended"}, "application/json")
    assert (asked.status_code, asked.json()["state"]) == (201, "requested")
    address = f"/api/v1/key-destructions/{asked.json()['id']}"
    assert admin.post(f"{address}/confirm/").status_code in (403, 409)
    second = client_for(org, Role.TENANT_ADMIN)
    assert second.post(f"{address}/confirm/").json()["state"] == "confirmed"
    assert second.post(f"{address}/withdraw/").status_code == 409


def test_a_platform_administrator_asks_for_a_tenant_that_is_not_there(client_for, platform):
    office = client_for(platform, Role.PLATFORM_ADMIN)
    body = {"tenant": "00000000-0000-7000-8000-000000000000"}
    for address in ("wrapping-keys/rotate", "re-encryptions"):
        assert office.post(f"/api/v1/{address}/", body, "application/json").status_code == 404


def test_the_console_from_overview_to_destruction(client_for, platform, org, blob):
    office = client_for(platform, Role.PLATFORM_ADMIN)
    page = office.get("/console/keys/").content.decode()
    assert org.name in page
    assert "kept in files" in page
    page = office.get(f"/console/keys/{org.id}/").content.decode()
    assert PURPOSE in page
    for body in ({}, {"purpose": PURPOSE}):
        page = office.post(f"/console/keys/{org.id}/rotate/", body, follow=True)
        assert page.status_code == 200
    page = office.post(f"/console/keys/{org.id}/re-encrypt/", follow=True).content.decode()
    assert "every 2s" in page
    with platform_scope():
        job = ReEncryption.objects.get()
    assert "progress" in office.get(f"/console/keys/{org.id}/progress/").content.decode()
    office.post(f"/console/keys/re-encryptions/{job.id}/cancel/", follow=True)
    page = office.post(f"/console/keys/{org.id}/destroy/", {"reason": "contract ended"}, follow=True)
    assert "somebody else must confirm" in page.content.decode()
    with platform_scope():
        asked = Destruction.objects.get()
    page = office.post(f"/console/keys/destructions/{asked.id}/", {"verdict": "withdraw"}, follow=True)
    assert "The keys stay" in page.content.decode()
    office.post(f"/console/keys/{org.id}/destroy/", {"reason": "contract ended"})
    with platform_scope():
        asked = Destruction.objects.get(state="requested")
    second = client_for(platform, Role.PLATFORM_ADMIN)
    page = second.post(f"/console/keys/destructions/{asked.id}/", {"verdict": "confirm"}, follow=True)
    assert "waits to be erased" in page.content.decode()


def test_a_tenant_administrator_goes_straight_to_the_own_keys(admin, org):
    page = admin.get("/console/keys/", follow=True)
    assert page.redirect_chain == [(f"/console/keys/{org.id}/", 302)]
    assert "No keys yet" in page.content.decode()


def test_a_token_that_is_away_shows_on_every_face(admin, client_for, platform, org, token_in_use):
    with tenant_context(org.id):
        envelopes.seal(b"seed", tenant_id=org.id, purpose=PURPOSE, object_id="1")
    token_in_use.remove()
    assert admin.get("/api/v1/key-provider/").json()["ok"] is False
    answer = admin.post("/api/v1/wrapping-keys/rotate/", {}, "application/json")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:openclaw:problem:keys-unavailable")
    office = client_for(platform, Role.PLATFORM_ADMIN)
    assert "does not answer" in office.get("/console/keys/").content.decode()
    assert office.post(f"/console/keys/{org.id}/rotate/").status_code == 503
    assert "reach" in office.get("/health/ready").json()["parts"]["keys"]
    with tenant_context(org.id):
        assert WrappingKey.objects.count() == 1


def run(*arguments):
    out = StringIO()
    call_command("keys", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_line(org, blob, member, monkeypatch):
    assert f"{org.slug}: wrapping key 1, 1 data keys" in run("status")
    told = json.loads(run("status", "--json"))
    assert told["provider"]["name"] == "software"
    assert told["tenants"][0]["wrapping_key"] == 1
    assert "files" in run("check")
    assert "wrapping key 2 (software), 1 data keys wrapped" in run("rotate", f"--tenant={org.slug}")
    assert "data key 2" in run("rotate", f"--tenant={org.slug}", f"--purpose={PURPOSE}")
    assert "done" in run("re-encrypt", f"--tenant={org.slug}")
    with pytest.raises(CommandError, match="no tenant"):
        run("rotate", "--tenant=nobody")
    first, second = (member(org, Role.TENANT_ADMIN).username for _ in range(2))
    for password, user, extra, outcome in (
        ("wrong", first, ["--reason=x"], "not right"),
        (PASSWORD, first, ["--confirm"], "Nobody asked"),
        (PASSWORD, first, ["--reason=contract ended"], None),
        (PASSWORD, first, ["--confirm"], "yourself"),
        (PASSWORD, second, ["--withdraw"], None),
        (PASSWORD, first, ["--reason=contract ended"], None),
        (PASSWORD, second, ["--confirm"], None),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        arguments = ("destroy", f"--tenant={org.slug}", f"--as={user}", *extra)
        if outcome:
            with pytest.raises(CommandError, match=outcome):
                run(*arguments)
        else:
            run(*arguments)
    with tenant_context(org.id):
        assert {k.state for k in DataKey.objects.all()} == {KeyState.DESTROYED}
        assert all(k.erased_at for k in WrappingKey.objects.all())


def test_a_re_encryption_is_cancelled(org, blob, principal_for):
    with pytest.raises(CommandError, match="being written anew"):
        run("cancel-re-encryption", f"--tenant={org.slug}")
    admin = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id):
        job = services.re_encrypt(principal=admin, tenant_id=org.id)
    assert "stops" in run("cancel-re-encryption", f"--tenant={org.slug}")
    with tenant_context(org.id):
        job.refresh_from_db()
    assert job.state == "cancelled"


def test_the_command_line_says_when_keys_are_away(token_in_use):
    assert "in order" in run("check")
    token_in_use.remove()
    with pytest.raises(CommandError, match="out of reach"):
        run("check")


def test_system_checks_name_each_mistake(token_in_use, settings):
    assert check_token_settings() == []
    token_in_use.address.pin_file.chmod(0o644)
    settings.OPENCLAW_PKCS11 = settings.OPENCLAW_PKCS11 | {"module": "/no/such.so"}
    settings.OPENCLAW_KEY_PROVIDER = "software"
    assert [c.id for c in check_token_settings()] == ["keys.E001", "keys.E003", "keys.W001"]
    token_in_use.address.pin_file.unlink()
    assert "keys.E002" in [c.id for c in check_token_settings()]
    settings.OPENCLAW_PKCS11 = None
    assert check_token_settings() == []
