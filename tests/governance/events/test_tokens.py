"""Forged, stale and malformed security event tokens: a precise refusal, an audit entry, no state change."""

from __future__ import annotations

import base64
import json
import time

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwk import JWK

from governance.audit.models import AuditEntry
from governance.events import tokens
from governance.events.models import ReceivedEvent
from governance.events.tokens import SetRefused
from governance.tenants.context import platform_scope
from tests.governance.events.conftest import ISSUER

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def refusals() -> list[str]:
    with platform_scope(), transaction.atomic():
        rows = AuditEntry.objects.filter(action="events.event.receive", decision="deny")
        return list(rows.values_list("reason", flat=True))


def received() -> int:
    with platform_scope(), transaction.atomic():
        return ReceivedEvent.objects.count()


def refused(company, token, err: str, **options) -> None:
    answer = company.push(token, **options)
    assert (answer.status_code, answer.json()["err"]) == (400, err), answer.content
    assert answer.json()["description"]
    assert received() == 0
    assert [reason.partition(":")[0] for reason in refusals()] == [err]


def unsigned(claims) -> str:
    parts = ({"alg": "none", "typ": "secevent+jwt"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."
    )


def test_an_unsigned_token_is_refused(company):
    refused(company, unsigned(company.claims()), "invalid_request")


def test_a_signature_with_the_public_key_as_a_secret_is_refused(company):
    """RS/HS confusion: whoever knows the public key must not be able to sign."""
    text = company.key.export_public().encode()
    secret = JWK(kty="oct", k=base64.urlsafe_b64encode(text).decode().rstrip("="))
    refused(company, company.signed(company.claims(), key=secret, alg="HS256"), "invalid_request")


def test_another_key_under_the_same_name_is_refused(company):
    other = JWK.generate(kty="EC", crv="P-256", kid="one", use="sig")
    refused(company, company.signed(company.claims(), key=other), "authentication_failed")


def test_an_unknown_key_is_refused(company):
    other = JWK.generate(kty="EC", crv="P-256", kid="two", use="sig")
    refused(company, company.signed(company.claims(), key=other), "invalid_key")


def test_a_changed_token_is_refused(company):
    head, body, signature = company.signed(company.claims()).split(".")
    other = company.signed(company.claims()).split(".")[1]
    assert other != body
    refused(company, f"{head}.{other}.{signature}", "authentication_failed")


@pytest.mark.parametrize(
    ("change", "err"),
    [
        ({"iss": "https://evil.example"}, "invalid_issuer"),
        ({"iss": None}, "invalid_issuer"),
        ({"aud": "https://other.example"}, "invalid_audience"),
        ({"aud": []}, "invalid_audience"),
        ({"iat": time.time() + 3600}, "invalid_request"),
        ({"iat": time.time() - 48 * 3600}, "invalid_request"),
        ({"iat": "now"}, "invalid_request"),
        ({"iat": True}, "invalid_request"),
        ({"jti": ""}, "invalid_request"),
        ({"jti": "x" * 256}, "invalid_request"),
        ({"jti": 7}, "invalid_request"),
        ({"exp": time.time() + 60}, "invalid_request"),
        ({"events": {}}, "invalid_request"),
        ({"events": []}, "invalid_request"),
        ({"events": {"a": "b"}}, "invalid_request"),
        ({"events": {str(n): {} for n in range(11)}}, "invalid_request"),
        ({"sub_id": "somebody"}, "invalid_request"),
    ],
)
def test_each_claim_is_looked_at(company, change, err):
    refused(company, company.signed(company.claims() | change), err)


@pytest.mark.parametrize(
    "header", [{"typ": "JWT"}, {"typ": None}, {"typ": "at+jwt"}, {"crit": ["exp"], "exp": 1}, {"b64": False}]
)
def test_an_access_token_or_id_token_is_no_event(company, header):
    claims = company.claims()
    try:
        token = company.signed(claims, **header)
    except Exception:  # noqa: BLE001  the library will not even make such a token: write its header by hand
        head, body, signature = company.signed(claims).split(".")
        facts = json.loads(base64.urlsafe_b64decode(head + "==")) | header
        head = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
        token = f"{head}.{body}.{signature}"
    refused(company, token, "invalid_request")


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"iss":1,"iss":2}', b"\xff", b"[" * 3000])
def test_a_signed_content_that_is_no_object_is_refused(company, content):
    refused(company, company.signed(content), "invalid_request")


@pytest.mark.parametrize("body", ["x", "a.b.c", "a.b", "ünïcode.a.b", '{"payload":""}'])
def test_what_is_no_token_is_refused(company, body):
    refused(company, body, "invalid_request")


def test_the_content_type_and_the_size_are_held(company):
    token = company.signed(company.claims())
    answer = company.push(token, content_type="application/json")
    assert (answer.status_code, answer.json()["err"]) == (400, "invalid_request")
    answer = company.push("x" * (tokens.MAX_BYTES + 1))
    assert (answer.status_code, answer.json()["err"]) == (413, "invalid_request")
    assert received() == 0


def test_a_transmitter_that_is_unknown_or_no_longer_believed_is_refused(company):
    from governance.events import services
    from governance.principals import SYSTEM

    unknown = "/events/caep/00000000-0000-7000-8000-000000000000/"
    token = company.signed(company.claims())
    assert company.push(token, address=unknown).json()["err"] == "authentication_failed"
    with platform_scope():
        services.set_transmitter_enabled(
            principal=SYSTEM, transmitter_id=company.transmitter.pk, enabled=False
        )
    answer = company.push(token)
    assert (answer.status_code, answer.json()["err"]) == (404, "authentication_failed")
    assert received() == 0


def test_a_flood_is_slowed_down(company):
    # 120 in a minute, and the minute may turn on the way: of twice as many and one, one must be too many.
    answers = (company.push("x") for _ in range(241))
    slowed = next(answer for answer in answers if answer.status_code != 400)
    assert slowed.status_code == 429
    assert slowed.headers["Retry-After"] == "60"


@pytest.mark.parametrize(
    ("kind", "alg"),
    [
        ({"kty": "EC", "crv": "P-256"}, "ES256"),
        ({"kty": "RSA", "size": 2048}, "RS256"),
        ({"kty": "RSA", "size": 2048}, "PS256"),
        ({"kty": "OKP", "crv": "Ed25519"}, "EdDSA"),
    ],
)
def test_every_accepted_signature_is_accepted(org, kind, alg):
    from tests.governance.events.conftest import Company

    company = Company(org, JWK.generate(kid="k", **kind))
    assert company.push(company.signed(company.claims(), alg=alg)).status_code == 202
    assert company.push(company.signed(company.claims(), alg=alg, kid=None)).status_code == 202
    assert received() == 2


def test_the_same_token_again_changes_nothing_and_the_same_number_with_another_content_is_refused(company):
    claims = company.claims()
    token = company.signed(claims)
    assert [company.push(token).status_code for _ in range(2)] == [202, 202]
    assert received() == 1
    answer = company.push(company.signed(claims | {"iat": claims["iat"] - 1}))
    assert (answer.status_code, answer.json()["err"]) == (400, "invalid_request")
    assert received() == 1


@given(st.text(alphabet='abcXYZ019-_.{}"é\x00', max_size=200))
def test_whatever_comes_it_is_refused_and_nothing_else(text):
    with pytest.raises(SetRefused) as found:
        tokens.parse(text)
    assert found.value.err == "invalid_request"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_claims_are_either_an_event_or_refused(value):
    claims = {"iss": ISSUER, "aud": "a", "iat": value, "jti": value, "events": value, "sub_id": value}
    for name in ("iat", "jti", "events", "sub_id"):
        good = {"iat": time.time(), "jti": "1", "events": {"e": {}}, "sub_id": {}}
        try:
            tokens.checked(claims | good | {name: value}, issuer=ISSUER, audience="a")
        except SetRefused as refusal:
            assert refusal.err == "invalid_request"
