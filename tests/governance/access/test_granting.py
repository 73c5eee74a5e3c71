"""How people let applications act for them: codes, refresh tokens, and the factor that a token remembers."""

import base64
import hashlib
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_refresh_token_model

from governance.access import refusals, services
from governance.access.principals import verified_token
from governance.access.signals import SESSION_FACTOR
from governance.audit.models import AuditEntry
from governance.errors import InvalidInput
from governance.principals import SYSTEM, Factor, Role
from governance.tenants.context import platform_scope
from tests.factories.proofs import Key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

BACK = "https://app.example.com/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(autouse=True)
def each_refusal_is_kept():
    refusals.seldom.forget()


@pytest.fixture
def key():
    return Key()


def rows(action):
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(action=action))


class Granting:
    """A person at a browser, and an application that asks."""

    def __init__(self, org, member, *, public):
        with platform_scope():
            made = services.create_application(
                principal=SYSTEM,
                name="phone app",
                scopes=["models:read", "tenant:manage"],
                tenant_id=org.id,
                redirect_uris=[BACK],
                public=public,
            )
        self.application, self.secret = made.application, made.client_secret
        self.person = member(org, Role.TENANT_ADMIN)
        self.browser = Client()
        self.browser.force_login(self.person, backend="django.contrib.auth.backends.ModelBackend")

    def query(self, **more):
        return {
            "response_type": "code",
            "client_id": self.application.client_id,
            "redirect_uri": BACK,
            "scope": "models:read",
            "state": "s1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | more

    def page(self, **more):
        return self.browser.get("/o/authorize/", self.query(**more))

    def allow(self, **more):
        address = f"/o/authorize/?{urlencode(self.query(**more))}"
        form = self.query() | {"allow": "1"}
        answer = self.browser.post(address, form)
        assert answer.status_code == 302, answer.content
        return {name: values[0] for name, values in parse_qs(urlsplit(answer["Location"]).query).items()}

    def redeem(self, code, proof=None, **more):
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "client_id": self.application.client_id,
            "code_verifier": VERIFIER,
        }
        return self._post(body | more, proof)

    def refresh(self, token, proof=None):
        body = {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": self.application.client_id,
        }
        return self._post(body, proof)

    def _post(self, body, proof):
        secret = {"client_secret": self.secret} if self.secret else {}
        return Client().post("/o/token/", body | secret, headers={"DPoP": proof} if proof else {})

    def age_factor(self, seconds, factor="passkey"):
        session = self.browser.session
        session[SESSION_FACTOR] = {"factor": factor, "at": time.time() - seconds, "network": "", "client": ""}
        session.save()


class TestPeoplesTokens:
    @pytest.fixture(params=[True, False], ids=["public", "confidential"])
    def granting(self, request, org, member):
        return Granting(org, member, public=request.param)

    @pytest.fixture
    def phone(self, org, member):
        return Granting(org, member, public=True)

    def test_the_token_carries_how_its_person_had_proven_who_it_is(self, granting, key):
        granting.age_factor(100, "otp")
        page = granting.page()
        assert page.status_code == 200
        assert "phone app" in page.content.decode()
        assert "https://app.example.com" in page["Content-Security-Policy"]
        back = granting.allow()
        assert (back["state"], back["iss"]) == ("s1", "http://127.0.0.1:8000")
        tokens = granting.redeem(back["code"], key.proof()).json()
        assert tokens["token_type"] == "DPoP"
        signals = verified_token(tokens["access_token"]).principal.signals
        assert (signals.factor, signals.bound) == (Factor.OTP, True)
        assert 95 < time.time() - signals.factor_at < 160
        (entry,) = rows("access.token.authorize")
        assert entry.details == {"scopes": ["models:read"], "factor": "otp"}
        # And so does every token that comes of it.
        more = granting.refresh(tokens["refresh_token"], key.proof()).json()
        again = verified_token(more["access_token"]).principal.signals
        assert (again.factor, again.factor_at) == (Factor.OTP, signals.factor_at)

    def test_a_stolen_refresh_token_of_a_public_client_is_of_no_use(self, phone, key):
        tokens = phone.redeem(phone.allow()["code"], key.proof()).json()
        for proof in (None, Key().proof()):
            answer = phone.refresh(tokens["refresh_token"], proof)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert rows("access.token.use")[0].actor_id == str(phone.person.id)
        # The thief's attempts took nothing from its owner.
        assert phone.refresh(tokens["refresh_token"], key.proof()).status_code == 200

    def test_a_confidential_client_may_change_its_key(self, org, member, key):
        granting = Granting(org, member, public=False)
        tokens = granting.redeem(granting.allow()["code"], key.proof()).json()
        other = Key()
        more = granting.refresh(tokens["refresh_token"], other.proof()).json()
        assert verified_token(more["access_token"]).jkt == other.jkt

    def test_a_code_asked_for_with_a_key_is_that_keys(self, phone, key):
        code = phone.allow(dpop_jkt=key.jkt)["code"]
        for proof in (None, Key().proof()):
            answer = phone.redeem(code, proof)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert phone.redeem(code, key.proof()).status_code == 200

    def test_a_disabled_person_has_no_tokens(self, phone, key):
        tokens = phone.redeem(phone.allow()["code"], key.proof()).json()
        with platform_scope():
            services.set_user_active(principal=SYSTEM, user_id=phone.person.id, active=False)
        assert verified_token(tokens["access_token"]) is None

    def test_who_refuses_gives_nothing(self, phone):
        answer = phone.browser.post(f"/o/authorize/?{urlencode(phone.query())}", phone.query())
        assert "error=access_denied" in answer["Location"]
        assert rows("access.token.authorize") == []

    @pytest.mark.parametrize(
        ("age_s", "factor", "asked", "level"),
        [
            (10, "password", {"acr_values": "urn:openclaw:aal:2"}, 2),
            (10, "otp", {"acr_values": "urn:openclaw:aal:3 urn:openclaw:aal:1"}, 3),
            (500, "passkey", {"max_age": "300"}, 1),
            (500, "passkey", {"max_age": "0"}, 1),
        ],
    )
    def test_an_application_may_ask_for_a_better_or_fresher_proof(self, phone, age_s, factor, asked, level):
        phone.age_factor(age_s, factor)
        answer = phone.page(**asked)
        assert answer.status_code == 302
        query = parse_qs(urlsplit(answer["Location"]).query)
        assert query["level"] == [str(level)]
        assert parse_qs(urlsplit(query["next"][0]).query)["client_id"] == [phone.application.client_id]
        # The form, sent past the page, is asked the same.
        posted = phone.browser.post(
            f"/o/authorize/?{urlencode(phone.query(**asked))}", phone.query() | {"allow": "1"}
        )
        assert posted["Location"].split("?")[0] == answer["Location"].split("?")[0]
        phone.age_factor(1, "passkey")
        assert phone.page(**asked).status_code == 200

    @pytest.mark.parametrize(
        ("asked", "error"),
        [
            ({"acr_values": "urn:example:gold"}, "unmet_authentication_requirements"),
            ({"max_age": "soon"}, "invalid_request"),
            ({"dpop_jkt": "short"}, "invalid_request"),
            ({"prompt": "none", "max_age": "60"}, "login_required"),
        ],
    )
    def test_what_cannot_be_met_is_told_to_the_application(self, phone, asked, error):
        phone.age_factor(500)
        answer = phone.page(**asked)
        query = parse_qs(urlsplit(answer["Location"]).query)
        assert answer["Location"].startswith(BACK)
        assert (query["error"], query["state"]) == ([error], ["s1"])

    def test_errors_are_never_sent_to_a_strangers_address(self, phone):
        answer = phone.page(acr_values="urn:example:gold", redirect_uri="https://evil.example/")
        assert answer.status_code == 400

    def test_prompt_login_asks_for_the_factor_again(self, phone):
        answer = phone.page(prompt="login")
        assert answer.status_code == 302
        assert "prompt" not in answer["Location"]

    def test_another_tenants_application_is_unknown(self, org, other_org, member):
        granting = Granting(other_org, member, public=True)
        granting.browser.force_login(
            member(org, Role.DEVELOPER), backend="django.contrib.auth.backends.ModelBackend"
        )
        assert granting.page().status_code == 400

    @pytest.mark.parametrize(
        "address",
        ["http://app.example.com/", "https://a/#b", "app:/x", "https://u@a/", "https://a/ b", "https://[/"],
    )
    def test_a_bad_address_to_come_back_to_is_refused(self, org, address):
        with platform_scope(), pytest.raises(InvalidInput):
            services.create_application(
                principal=SYSTEM, name="x", scopes=["models:read"], tenant_id=org.id, redirect_uris=[address]
            )


def test_the_metadata_says_what_is_understood():
    told = Client().get("/.well-known/oauth-authorization-server").json()
    assert told["dpop_signing_alg_values_supported"] == ["ES256", "EdDSA"]
    assert told["acr_values_supported"] == [f"urn:openclaw:aal:{level}" for level in (1, 2, 3)]
    assert told["issuer"] == "http://127.0.0.1:8000"


def test_an_expired_refresh_token_binds_nothing(org, member):
    granting = Granting(org, member, public=True)
    key = Key()
    tokens = granting.redeem(granting.allow()["code"], key.proof()).json()
    get_access_token_model().objects.update(expires=timezone.now() - timedelta(days=30))
    assert granting.refresh(tokens["refresh_token"], key.proof()).status_code == 400
    assert get_refresh_token_model().objects.count() == 1
