"""Registered devices: found by their key, judged by fresh news only, and gone with their tokens when revoked."""

import json
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.access import devices
from governance.access.models import RegisteredDevice
from governance.access.posture import present_posture
from governance.access.principals import principal_for_bearer, verified_token
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.principals import SYSTEM, Device, Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import bearer_token, make_application
from tests.factories.proofs import Key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

DEVICES = "/api/v1/devices/"
URL = f"http://testserver{DEVICES}"


@pytest.fixture
def key():
    return Key("EdDSA")


@pytest.fixture
def browser(org, member):
    def sign_in(*roles, tenant=org):
        client = Client()
        client.person = member(tenant, *roles)
        client.force_login(client.person, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


def register(client, key, name="laptop", **options):
    proof = options.pop("proof", None) or key.proof("POST", URL)
    body = json.dumps({"name": name})
    return client.post(DEVICES, body, content_type="application/json", headers={"DPoP": proof, **options})


def say(device_id, posture, **options):
    with platform_scope():
        return devices.set_posture(
            principal=SYSTEM, device_id=device_id, posture=posture, source="device management", **options
        )


def entries(action):
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(action=action))


class TestRegistering:
    def test_the_key_of_the_proof_is_the_devices(self, browser, key):
        person = browser(Role.DEVELOPER)
        made = register(person, key)
        assert made.status_code == 201
        assert (made.json()["jkt"], made.json()["posture"]) == (key.jkt, "unknown")
        again = register(person, key, name="other name")
        assert again.json()["id"] == made.json()["id"]
        assert len(entries("access.device.register")) == 1

    @pytest.mark.parametrize(
        "proof",
        [lambda key: "", lambda key: "nonsense", lambda key: key.proof("POST", "http://testserver/o/token/")],
    )
    def test_without_its_proof_nothing_is_registered(self, browser, key, proof):
        answer = register(browser(Role.DEVELOPER), key, proof=proof(key) or " ")
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:openclaw:problem:invalid-dpop-proof")
        with platform_scope(), transaction.atomic():
            assert not RegisteredDevice.objects.exists()

    def test_a_proof_registers_once(self, browser, key):
        person, proof = browser(Role.DEVELOPER), key.proof("POST", URL)
        assert register(person, key, proof=proof).status_code == 201
        assert register(person, key, proof=proof).status_code == 400

    def test_a_program_registers_its_machine_with_the_key_of_its_token(self, org, key):
        application, secret = make_application(org, scopes=["models:read"])
        token = bound_token(application, secret, key)
        made = register(Client(), key, proof=key.proof("POST", URL, token), Authorization=f"DPoP {token}")
        assert made.status_code == 201, made.content
        say(made.json()["id"], Device.COMPLIANT)
        assert verified_token(token).principal.signals.device is Device.COMPLIANT

    def test_a_plain_person_sees_its_own_and_an_administrator_all_of_the_tenant(
        self, browser, other_org, key
    ):
        anna, bert = browser(Role.DEVELOPER), browser(Role.DEVELOPER)
        admin, neighbour = browser(Role.TENANT_ADMIN), browser(Role.TENANT_ADMIN, tenant=other_org)
        register(anna, key)
        register(bert, Key())
        seen = [len(who.get(DEVICES).json()["results"]) for who in (anna, bert, admin, neighbour)]
        assert seen == [1, 1, 2, 0]


def bound_token(application, secret, key):
    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": secret}
    return Client().post("/o/token/", body, headers={"DPoP": key.proof()}).json()["access_token"]


class TestPosture:
    @pytest.fixture
    def device(self, browser, key):
        return RegisteredDevice(id=register(browser(Role.DEVELOPER), key).json()["id"])

    def test_only_who_manages_devices_says_it(self, browser, key):
        person = browser(Role.DEVELOPER)
        made = register(person, key).json()
        body = json.dumps({"posture": "compliant"})
        address = f"{DEVICES}{made['id']}/posture/"
        assert person.post(address, body, content_type="application/json").status_code == 403
        answer = browser(Role.TENANT_ADMIN).post(address, body, content_type="application/json")
        assert answer.json()["posture"] == "compliant"
        (entry,) = entries("access.device.posture")
        assert (entry.details["from"], entry.details["to"]) == ("unknown", "compliant")

    def test_old_news_change_nothing_and_the_future_is_now(self, device):
        now = timezone.now()
        say(device.id, Device.NOT_COMPLIANT, at=now)
        assert say(device.id, Device.COMPLIANT, at=now - timedelta(hours=1)).posture == "not_compliant"
        later = say(device.id, Device.COMPLIANT, at=now + timedelta(days=300))
        assert later.posture_at <= timezone.now()

    def test_what_was_heard_too_long_ago_is_unknown(self, device, settings):
        found = say(device.id, Device.COMPLIANT)
        assert present_posture(found) is Device.COMPLIANT
        after = timezone.now() + timedelta(seconds=settings.DEVICE_POSTURE_MAX_AGE_S + 1)
        assert present_posture(found, now=after) is Device.UNKNOWN

    def test_a_device_that_does_not_comply_stops_its_person_everywhere(self, browser, key):
        """The session on the device, through the product's own policy."""
        person = browser(Role.DEVELOPER)
        made = register(person, key).json()
        assert person.get("/api/v1/applications/").status_code == 200
        say(made["id"], Device.NOT_COMPLIANT)
        refused = person.get("/api/v1/applications/")
        assert refused.status_code == 403
        assert "device" in refused.json()["detail"]
        say(made["id"], Device.COMPLIANT)
        assert person.get("/api/v1/applications/").status_code == 200

    def test_another_tenants_word_counts_for_nothing(self, browser, org, other_org, member, key):
        from governance.tenants.models import Membership

        person = browser(Role.DEVELOPER)
        made = register(person, key).json()
        with platform_scope(), transaction.atomic():
            Membership.objects.create(user=person.person, tenant=other_org, role=Role.DEVELOPER)
        say(made["id"], Device.NOT_COMPLIANT)
        person.post("/accounts/tenant/", {"tenant": str(other_org.id)})
        assert person.get("/api/v1/me/").json()["assurance"]["device"] == "unknown"

    def test_nobody_speaks_of_what_is_not_there(self, principal_for, org):
        with tenant_context(org.id), pytest.raises(NotFound):
            devices.set_posture(
                principal=principal_for(org, Role.TENANT_ADMIN),
                device_id=uuid4(),
                posture=Device.COMPLIANT,
                source="x",
            )


class TestRevoking:
    def test_the_keys_tokens_end_and_the_key_opens_nothing_more(self, org, browser, key):
        application, secret = make_application(org, scopes=["models:read"])
        token, other = bound_token(application, secret, key), bearer_token(application, secret)
        made = register(
            Client(), key, proof=key.proof("POST", URL, token), Authorization=f"DPoP {token}"
        ).json()
        admin = browser(Role.TENANT_ADMIN)
        answer = admin.post(
            f"{DEVICES}{made['id']}/revoke/", {"reason": "lost"}, content_type="application/json"
        )
        assert answer.json()["revoked_at"]
        assert verified_token(token) is None
        assert principal_for_bearer(other) is not None
        refused = Client().post(
            "/o/token/",
            {
                "grant_type": "client_credentials",
                "client_id": application.client_id,
                "client_secret": secret,
            },
            headers={"DPoP": key.proof()},
        )
        assert (refused.status_code, "revoked" in refused.json()["error_description"]) == (400, True)
        (entry,) = entries("access.device.revoke")
        assert (entry.reason, entry.details["tokens_deleted"]) == ("lost", 1)
        with pytest.raises(Conflict):
            say(made["id"], Device.COMPLIANT)

    def test_one_revokes_ones_own_but_not_a_colleagues(self, browser, key):
        anna, bert = browser(Role.DEVELOPER), browser(Role.DEVELOPER)
        made = register(anna, key).json()
        address = f"/devices/{made['id']}/revoke/"
        assert bert.post(address).status_code == 403
        assert anna.post(address).status_code == 302
        assert register(anna, key).status_code == 409

    def test_without_an_account_there_is_no_device(self):
        with platform_scope(), pytest.raises((InvalidInput, AccessDenied)):
            devices.register_device(principal=SYSTEM, name="x", jkt="y" * 43)


class TestPage:
    def test_it_lists_and_changes(self, browser, key):
        made = register(browser(Role.DEVELOPER), key, name="Annas <laptop>").json()
        admin = browser(Role.TENANT_ADMIN)
        page = admin.get("/devices/")
        assert "Annas &lt;laptop&gt;" in page.content.decode()
        admin.post(f"/devices/{made['id']}/posture/", {"posture": "not_compliant"})
        assert "not compliant" in admin.get("/devices/").content.decode()
        assert admin.post(f"/devices/{made['id']}/posture/", {"posture": "splendid"}).status_code == 400

    def test_nobody_sees_it_without_signing_in(self):
        assert Client().get("/devices/")["Location"].startswith("/accounts/login/")


class TestCommand:
    def run(self, *arguments):
        out = StringIO()
        call_command("devices", *arguments, stdout=out)
        return out.getvalue()

    def test_it_lists_judges_and_revokes(self, org, browser, key):
        made = register(browser(Role.DEVELOPER), key).json()
        assert "laptop" in self.run("posture", made["id"], "compliant")
        (row,) = json.loads(self.run("list", "--tenant", org.slug, "--json"))
        assert (row["key"], row["posture"]) == (key.jkt, "compliant")
        self.run("revoke", made["id"], "--reason", "lost")
        assert "(revoked)" in self.run("list", "--tenant", org.slug)

    def test_it_says_what_is_wrong(self, org):
        with pytest.raises(CommandError, match="no tenant"):
            self.run("list", "--tenant", "nobody")
        with pytest.raises(CommandError, match="no such device"):
            self.run("revoke", str(uuid4()), "--reason", "x")
