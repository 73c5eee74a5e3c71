"""Bound tokens on the hot route, on bare ASGI with a real Valkey: who is let in, and what the others are told."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from governance.access.challenges import TokenRefused
from governance.decision import StepUp
from governance.principals import Principal, Role
from inference.serving.application import InferenceApplication
from inference.serving.lookups import Caller, EndpointSnapshot, Verdict
from inference.serving.proofs import Proofs, ValkeyReplays
from tests.factories.onnx_models import EndpointStub
from tests.factories.proofs import Key

TENANT = uuid4()
PATH = "/v2/repository/index"
URL = f"http://testserver{PATH}"
KEY = Key("EdDSA")


class Known:
    """`Lookups` with one bound token, one plain one, and one endpoint."""

    def __init__(self) -> None:
        principal = Principal("client", "c", "c", tenant_id=TENANT, roles=frozenset({Role.SERVICE}))
        self.callers = {
            "bound": Caller(principal, time.time() + 60, KEY.jkt),
            "plain": Caller(principal, time.time() + 60),
        }
        self.verdict = Verdict(True, "a grant")

    async def identify(self, token: str) -> Caller | None:
        return self.callers.get(token)

    async def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        return EndpointStub("m", ())

    async def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        return []

    async def authorize(self, caller: Caller, endpoint: EndpointSnapshot, *_use: Any) -> Verdict:
        return self.verdict


class Site:
    """The application, asked without a server."""

    def __init__(self) -> None:
        self.known = Known()
        self.kept: list[TokenRefused] = []
        self.replays = ValkeyReplays()
        self.application = InferenceApplication(
            self.known, prover=Proofs(self.replays, note=self.kept.append)
        )

    async def ask(
        self,
        authorization: str,
        *proofs: str,
        method: str = "POST",
        path: str = PATH,
        host: str = "testserver",
    ) -> tuple[int, dict[bytes, bytes], Any]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = [(b"host", host.encode()), (b"authorization", authorization.encode())]
        headers += [(b"dpop", proof.encode()) for proof in proofs]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "scheme": "http",
            "headers": headers,
        }
        await self.application(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


@pytest.fixture
async def site(valkey: None, settings: Any) -> AsyncIterator[Site]:
    made = Site()
    yield made
    await made.replays.close()


async def test_a_proof_opens_once(site: Site) -> None:
    proof = KEY.proof("POST", URL, "bound")
    assert (await site.ask("DPoP bound", proof))[0] == 200
    status, headers, body = await site.ask("dpop bound", proof)
    assert status == 401
    assert b'error="invalid_dpop_proof"' in headers[b"www-authenticate"]
    assert "used before" in body["error"]
    assert [refused.code for refused in site.kept] == ["invalid_dpop_proof"]


async def test_the_sites_public_address_is_its_own_as_well(site: Site, settings: Any) -> None:
    settings.PUBLIC_URL = "https://openclaw.example.com"
    proof = KEY.proof("POST", f"https://openclaw.example.com{PATH}", "bound")
    assert (await site.ask("DPoP bound", proof))[0] == 200


@pytest.mark.parametrize(
    ("authorization", "proofs", "says"),
    [
        ("Bearer bound", lambda: (), "send it as DPoP"),
        ("Bearer bound", lambda: (KEY.proof("POST", URL, "bound"),), "send it as DPoP"),
        ("DPoP bound", lambda: (), "missing"),
        ("DPoP bound", lambda: (KEY.proof("POST", URL, "bound"),) * 2, "exactly one"),
        ("DPoP bound", lambda: (Key().proof("POST", URL, "bound"),), "another key"),
        ("DPoP bound", lambda: (KEY.proof("GET", URL, "bound"),), "htm"),
        ("DPoP bound", lambda: (KEY.proof("POST", f"{URL}x", "bound"),), "htu"),
        ("DPoP bound", lambda: (KEY.proof("POST", URL, "plain"),), "ath"),
        ("DPoP bound", lambda: (KEY.proof("POST", URL, "bound", iat=1),), "iat"),
        ("DPoP bound", lambda: (KEY.proof("POST", URL, "bound", header={"alg": "none"}),), "alg"),
        ("DPoP bound", lambda: ("x" * 9000,), "longer"),
        ("DPoP plain", lambda: (KEY.proof("POST", URL, "plain"),), "not bound"),
    ],
)
async def test_everything_else_is_refused_for_what_it_is(
    site: Site, authorization: str, proofs: Callable[[], tuple[str, ...]], says: str
) -> None:
    status, headers, body = await site.ask(authorization, *proofs())
    assert (status, says in body["error"]) == (401, True), body
    assert b"realm=" in headers[b"www-authenticate"]
    (kept,) = site.kept
    assert kept.principal is not None


@pytest.mark.parametrize("authorization", ["DPoP nobody", "DPoP ", "DPoP", "Bearer nobody", "Basic x", ""])
async def test_of_strangers_nothing_is_kept(site: Site, authorization: str) -> None:
    status, headers, _body = await site.ask(authorization, KEY.proof("POST", URL, "nobody"))
    assert status == 401
    assert headers[b"www-authenticate"].startswith((b"Bearer", b"DPoP"))
    assert site.kept == []


async def test_a_host_that_is_not_ours_makes_no_address_ours(site: Site) -> None:
    proof = KEY.proof("POST", f"http://evil.example{PATH}", "bound")
    assert (await site.ask("DPoP bound", proof, host="evil.example"))[0] == 401


async def test_a_plain_token_needs_no_valkey_and_a_bound_one_is_not_accepted_without(
    site: Site, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert (await site.ask("Bearer plain"))[0] == 200
    status, headers, _body = await site.ask("DPoP bound", KEY.proof("POST", URL, "bound"))
    assert (status, headers[b"retry-after"]) == (503, b"5")


async def test_a_nonce_is_offered_where_one_is_required(site: Site, settings: Any) -> None:
    settings.DPOP_NONCE_REQUIRED = True
    status, headers, _body = await site.ask("DPoP bound", KEY.proof("POST", URL, "bound"))
    assert (status, b"use_dpop_nonce" in headers[b"www-authenticate"]) == (401, True)
    proof = KEY.proof("POST", URL, "bound", nonce=headers[b"dpop-nonce"].decode())
    assert (await site.ask("DPoP bound", proof))[0] == 200


async def test_a_missing_factor_is_a_challenge(site: Site) -> None:
    site.known.verdict = Verdict(False, "prove it again", step_up=StepUp(2, 900))
    path = "/v2/models/m"
    proof = KEY.proof("GET", f"http://testserver{path}", "bound")
    status, headers, body = await site.ask("DPoP bound", proof, method="GET", path=path)
    assert (status, body["error"]) == (401, "prove it again")
    challenge = headers[b"www-authenticate"].decode()
    assert challenge.startswith("DPoP ")
    assert 'acr_values="urn:openclaw:aal:2", max_age="900"' in challenge
