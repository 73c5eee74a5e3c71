"""Bound tokens on the real site: what a stolen token, key or proof is worth, and how people's tokens are granted."""

import time

import pytest
from django.db import transaction
from django.test import Client
from oauth2_provider.models import get_access_token_model

from governance.access import refusals, services
from governance.access.models import TokenBinding
from governance.access.principals import principal_for_bearer, verified_token
from governance.audit.models import AuditEntry
from governance.principals import SYSTEM, Factor
from governance.tenants.context import platform_scope
from tests.factories.governance import bearer_token, make_application
from tests.factories.proofs import Key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

ME = "http://testserver/api/v1/me/"
TOKEN = "http://testserver/o/token/"


@pytest.fixture(autouse=True)
def each_refusal_is_kept():
    refusals.seldom.forget()


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def client(org):
    return make_application(org, scopes=["models:read"])


def ask(client, key=None, *, proof=None, **fields):
    application, secret = client
    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": secret}
    proof = proof or (key.proof() if key else None)
    return Client().post("/o/token/", body | fields, headers={"DPoP": proof} if proof else {})


def me(token, *proofs, scheme="DPoP"):
    headers = {"Authorization": f"{scheme} {token}"}
    if proofs:
        headers["DPoP"] = ", ".join(proofs)
    return Client().get("/api/v1/me/", headers=headers)


def rows(action):
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(action=action))


class TestTokenEndpoint:
    @pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
    def test_a_proof_makes_the_token_its_keys(self, client, algorithm):
        key = Key(algorithm)
        answer = ask(client, key)
        assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
        token = answer.json()["access_token"]
        found = verified_token(token)
        assert found.jkt == key.jkt
        assert found.principal.signals.bound
        assert principal_for_bearer(token) is None
        assert me(token, key.proof("GET", ME, token)).status_code == 200

    def test_without_a_proof_it_is_a_bearer_token_as_before(self, client):
        answer = ask(client)
        assert answer.json()["token_type"] == "Bearer"
        assert me(answer.json()["access_token"], scheme="Bearer").status_code == 200

    @pytest.mark.parametrize(
        "proof",
        [
            lambda key: key.proof("GET"),
            lambda key: key.proof(url=ME),
            lambda key: key.proof(header={"alg": "none"}),
            lambda key: key.proof(iat=int(time.time()) - 3600),
            lambda key: f"{key.proof()}, {key.proof()}",
            lambda key: "x" * 10_000,
        ],
        ids=["method", "address", "alg none", "old", "two", "oversized"],
    )
    def test_a_bad_proof_gets_no_token_and_changes_nothing(self, client, key, proof):
        answer = ask(client, proof=proof(key))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
        assert not get_access_token_model().objects.exists()

    def test_a_proof_gets_one_token(self, client, key):
        proof = key.proof()
        assert ask(client, proof=proof).status_code == 200
        again = ask(client, proof=proof)
        assert (again.status_code, "used before" in again.json()["error_description"]) == (400, True)
        assert get_access_token_model().objects.count() == 1

    def test_a_client_that_must_bind_gets_nothing_without_a_proof(self, org, client, key):
        stolen = bearer_token(*client)
        with platform_scope():
            services.set_require_dpop(principal=SYSTEM, application_id=client[0].id, required=True)
        assert me(stolen, scheme="Bearer").status_code == 401
        answer = ask(client)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
        assert ask(client, key).status_code == 200
        assert not get_access_token_model().objects.exclude(pk__in=_bound()).exists()

    def test_a_nonce_is_asked_for_where_the_site_wants_one(self, client, key, settings):
        settings.DPOP_NONCE_REQUIRED = True
        first = ask(client, key)
        assert (first.status_code, first.json()["error"]) == (400, "use_dpop_nonce")
        second = ask(client, proof=key.proof(nonce=first["DPoP-Nonce"]))
        assert second.status_code == 200
        assert second["DPoP-Nonce"]
        token = second.json()["access_token"]
        refused = me(token, key.proof("GET", ME, token))
        assert refused.status_code == 401
        assert 'error="use_dpop_nonce"' in refused["WWW-Authenticate"]
        good = key.proof("GET", ME, token, nonce=refused["DPoP-Nonce"])
        assert me(token, good).status_code == 200

    def test_without_valkey_no_bound_token_is_given_or_taken(self, client, key, monkeypatch):
        import redis
        from django.core.cache import cache

        token = ask(client, key).json()["access_token"]

        def away(*_args, **_options):
            raise redis.ConnectionError("gone")

        monkeypatch.setattr(type(cache._connections["default"]), "add", away)
        answer = me(token, key.proof("GET", ME, token))
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")

    def test_a_token_for_another_site_is_not_given_and_not_taken(self, client):
        answer = ask(client, resource="https://other.example.com/")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
        token = bearer_token(*client)
        get_access_token_model().objects.update(resource=["https://other.example.com/"])
        assert me(token, scheme="Bearer").status_code == 401

    def test_parameters_of_the_client_are_never_taken_for_what_the_server_found_out(self, client):
        answer = ask(client, openclaw_granted="x", granted="x", factor="passkey", refresh_token_instance="x")
        assert answer.status_code == 200
        assert verified_token(answer.json()["access_token"]).principal.signals.factor is Factor.SECRET


def _bound():
    with platform_scope(), transaction.atomic():
        return list(TokenBinding.objects.exclude(jkt="").values_list("access_token_id", flat=True))


class TestResources:
    @pytest.fixture
    def token(self, client, key):
        return ask(client, key).json()["access_token"]

    @pytest.mark.parametrize(
        ("present", "error", "says"),
        [
            (lambda k, t: me(t, scheme="Bearer"), "invalid_token", "send it as DPoP"),
            (lambda k, t: me(t, k.proof("GET", ME, t), scheme="Bearer"), "invalid_token", "send it as DPoP"),
            (lambda k, t: me(t), "invalid_dpop_proof", "missing"),
            (lambda k, t: me(t, *[k.proof("GET", ME, t)] * 2), "invalid_dpop_proof", "exactly one"),
            (lambda k, t: me(t, Key().proof("GET", ME, t)), "invalid_token", "another key"),
            (lambda k, t: me(t, k.proof("POST", ME, t)), "invalid_dpop_proof", "htm"),
            (lambda k, t: me(t, k.proof("GET", TOKEN, t)), "invalid_dpop_proof", "htu"),
            (lambda k, t: me(t, k.proof("GET", ME, "other")), "invalid_dpop_proof", "ath"),
            (lambda k, t: me(t, k.proof("GET", ME)), "invalid_dpop_proof", "ath"),
            (
                lambda k, t: me(t, k.proof("GET", ME, t, iat=int(time.time()) + 90)),
                "invalid_dpop_proof",
                "iat",
            ),
            (lambda k, t: me(t, k.proof("GET", ME, t, header={"alg": "none"})), "invalid_dpop_proof", "alg"),
            (lambda k, t: me(t, "not a proof"), "invalid_dpop_proof", "JWT"),
        ],
    )
    def test_a_stolen_token_is_of_no_use_and_the_owner_reads_of_it(self, key, token, present, error, says):
        answer = present(key, token)
        assert answer.status_code == 401
        assert f'error="{error}"' in answer["WWW-Authenticate"]
        assert says in answer.json()["detail"]
        assert answer["WWW-Authenticate"].startswith(("Bearer ", "DPoP "))
        (entry,) = rows("access.token.use")
        assert (entry.decision, entry.details["error"]) == ("deny", error)
        assert token not in str(entry.__dict__)

    def test_a_replayed_proof_is_refused(self, key, token):
        proof = key.proof("GET", ME, token)
        assert me(token, proof).status_code == 200
        assert "used before" in me(token, proof).json()["detail"]

    def test_a_proof_that_failed_was_not_used_up(self, key, token):
        proof = key.proof("GET", ME, token)
        assert me(token, proof, proof).status_code == 401
        assert me(token, proof).status_code == 200

    def test_many_refusals_make_one_entry_and_then_tell_how_many(self, key, token, monkeypatch):
        for _attempt in range(5):
            me(token, scheme="Bearer")
        assert len(rows("access.token.use")) == 1
        monkeypatch.setattr(refusals, "EVERY_S", 0.0)
        me(token, scheme="Bearer")
        assert [
            entry.details["more_before"]
            for entry in rows("access.token.use")
            if "more_before" in entry.details
        ] == [4]

    def test_who_is_unknown_fills_no_log(self):
        assert me("x" * 30, Key().proof("GET", ME, "x" * 30)).status_code == 401
        assert me("x" * 5000, scheme="Bearer").status_code == 401
        assert me("ä", scheme="Bearer").status_code == 401
        assert rows("access.token.use") == []

    def test_a_bearer_token_is_no_bound_one(self, client, key):
        token = bearer_token(*client)
        answer = me(token, key.proof("GET", ME, token))
        assert "not bound" in answer.json()["detail"]
        # A proof beside a bearer token proves nothing that anybody asked for.
        assert me(token, "nonsense", scheme="Bearer").status_code == 200

    def test_a_page_answers_a_program_with_the_challenge(self, token):
        answer = Client().get("/applications/", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer["WWW-Authenticate"]

    def test_the_binding_goes_with_its_token_whoever_deletes_it(self, token):
        # No row context at all: the toolkit's own clean-up sees no bindings.
        get_access_token_model().objects.all().delete()
        with platform_scope(), transaction.atomic():
            assert not TokenBinding.objects.exists()


class TestSockets:
    """A program at a WebSocket: the handshake is a GET, whose proof opens it."""

    @pytest.fixture
    def token(self, client, key):
        return ask(client, key).json()["access_token"]

    async def principal_of(self, token, *proofs, scheme="DPoP"):
        from asgiref.testing import ApplicationCommunicator

        from openclaw_site.sockets import PrincipalSocket

        seen = []

        async def inner(scope, receive, send):
            seen.append(scope["principal"])

        headers = [(b"host", b"testserver"), (b"authorization", f"{scheme} {token}".encode())]
        headers += [(b"dpop", proof.encode()) for proof in proofs]
        path = "/ws/anything/"
        scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "subprotocols": [],
            "scheme": "ws",
            "client": ["127.0.0.1", 1],
        }
        socket = ApplicationCommunicator(PrincipalSocket(inner), scope)
        await socket.send_input({"type": "websocket.connect"})
        await socket.wait()
        return seen[0]

    async def test_a_proof_for_the_handshake_opens_it_once(self, client, key, token):
        proof = key.proof("GET", "ws://testserver/ws/anything/", token)
        assert (await self.principal_of(token, proof)).id == str(client[0].id)
        assert not (await self.principal_of(token, proof)).is_authenticated

    async def test_without_its_key_a_bound_token_is_nobodys(self, key, token):
        assert not (await self.principal_of(token)).is_authenticated
        assert not (await self.principal_of(token, scheme="Bearer")).is_authenticated
        other = key.proof("GET", "ws://testserver/ws/other/", token)
        assert not (await self.principal_of(token, other)).is_authenticated
