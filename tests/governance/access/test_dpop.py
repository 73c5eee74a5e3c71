"""DPoP proofs (RFC 9449): the good ones, and precise refusals of everything else."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from governance.access.challenges import TokenRefused, challenge, level_of, step_up_challenge
from governance.access.dpop import MAX_PROOF_BYTES, check_proof, nonce, nonce_is_good, normalised
from governance.decision import StepUp
from tests.factories.proofs import Key, encoded

URL = "https://openclaw.example.com/api/v1/me/"
URLS = {normalised(URL)}
KEYS = {"ES256": Key("ES256"), "EdDSA": Key("EdDSA")}
KEY = KEYS["ES256"]


def check(proof, *, method="GET", token="", now=None):
    return check_proof(proof, method=method, urls=URLS, access_token=token, now=now)


def refusal(proof, **options):
    with pytest.raises(TokenRefused) as refused:
        check(proof, **options)
    assert refused.value.status == 401
    return refused.value


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_good_proof_names_its_key(algorithm):
    key = KEYS[algorithm]
    found = check(key.proof("GET", URL + "?a=1#b", "token", jti="one"), token="token")
    assert (found.jkt, found.jti) == (key.jkt, "one")


def test_the_thumbprint_is_that_of_rfc_7638_for_the_example_of_rfc_9449():
    """RFC 9449 §4: its own example proof, at its own time."""
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rs"
        "cEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2"
        "In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2Vu"
        "IiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZ"
        "T3Lg"
    )
    found = check_proof(proof, method="POST", urls={"https://server.example.com/token"}, now=1562262618)
    assert found.jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


HOSTILE_HEADERS = {
    "alg none": ({"alg": "none"}, "alg must be one of"),
    "alg None in capitals": ({"alg": "NONE"}, "alg must be one of"),
    "a shared secret": ({"alg": "HS256"}, "alg must be one of"),
    "RSA": ({"alg": "RS256"}, "alg must be one of"),
    "a list as alg": ({"alg": ["ES256"]}, "alg must be one of"),
    "no alg": ({"alg": None}, "alg must be one of"),
    "another type": ({"typ": "JWT"}, "typ must be dpop+jwt"),
    "no type": ({"typ": None}, "typ must be dpop+jwt"),
    "no key": ({"jwk": None}, "jwk must be the public key"),
    "a key by address": ({"jwk": None, "jku": "https://evil.example/k"}, "jwk must be the public key"),
    "a private key": ({"jwk": json.loads(KEY.pair.export_private())}, "holds a private key"),
    "a symmetric key": ({"jwk": {"kty": "oct", "k": "AAAA"}}, "holds a private key"),
    "a key of another kind": ({"jwk": KEYS["EdDSA"].public}, "not a public key for ES256"),
    "another curve": ({"jwk": KEY.public | {"crv": "P-384"}}, "not a public key for ES256"),
    "a point beside the curve": ({"jwk": KEY.public | {"y": KEY.public["x"]}}, "not a public key for ES256"),
    "numbers as coordinates": ({"jwk": KEY.public | {"x": 1}}, "not a public key for ES256"),
    "an extension": ({"crit": ["exp"], "exp": 1}, "crit names extensions"),
    "somebody else's key": ({"jwk": Key().public}, "the signature is not by the key"),
}


@pytest.mark.parametrize(("header", "says"), HOSTILE_HEADERS.values(), ids=list(HOSTILE_HEADERS))
def test_a_hostile_header_is_refused_for_what_it_is(header, says):
    top = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public} | header
    claims = {"jti": "x", "htm": "GET", "htu": URL, "iat": int(time.time())}
    body = JWS(json.dumps(claims))
    body.add_signature(KEY.pair, "ES256", json.dumps({"alg": "ES256"}))
    _own, payload, signature = body.serialize(compact=True).split(".")
    kept = {name: value for name, value in top.items() if value is not None}
    forged = f"{encoded(json.dumps(kept).encode())}.{payload}.{signature}"
    error = refusal(forged)
    assert (error.code, says in error.message) == ("invalid_dpop_proof", True), error.message


def test_a_proof_signed_with_the_public_key_as_a_secret_is_refused():
    """The classic confusion of algorithms: an HMAC whose key is what everybody can see."""
    secret = JWK(kty="oct", k=encoded(json.dumps(KEY.public).encode()))
    signed = JWS(json.dumps({"jti": "x", "htm": "GET", "htu": URL, "iat": int(time.time())}))
    signed.add_signature(secret, "HS256", json.dumps({"typ": "dpop+jwt", "alg": "HS256", "jwk": KEY.public}))
    assert "alg must be" in refusal(signed.serialize(compact=True)).message


CLAIMS = {
    "no jti": ({"jti": None}, "jti"),
    "an empty jti": ({"jti": ""}, "jti"),
    "a long jti": ({"jti": "x" * 300}, "jti"),
    "a number as jti": ({"jti": 7}, "jti"),
    "another method": ({"htm": "POST"}, "htm"),
    "a method in other letters": ({"htm": "get"}, "htm"),
    "no method": ({"htm": None}, "htm"),
    "another site": ({"htu": "https://evil.example/api/v1/me/"}, "htu"),
    "another path": ({"htu": "https://openclaw.example.com/api/v1/applications/"}, "htu"),
    "another scheme": ({"htu": URL.replace("https", "http")}, "htu"),
    "another port": ({"htu": "https://openclaw.example.com:444/api/v1/me/"}, "htu"),
    "a user in the address": ({"htu": "https://openclaw.example.com@evil.example/api/v1/me/"}, "htu"),
    "a relative address": ({"htu": "/api/v1/me/"}, "htu"),
    "a list as address": ({"htu": [URL]}, "htu"),
    "no time": ({"iat": None}, "iat"),
    "a time as text": ({"iat": str(int(time.time()))}, "iat"),
    "true as time": ({"iat": True}, "iat"),
    "a time beyond numbers": ({"iat": float("inf")}, "iat"),
    "no number": ({"iat": float("nan")}, "iat"),
    "a very long time": ({"iat": 10**300}, "iat"),
    "another token": ({"ath": "x" * 43}, "ath"),
    "no token": ({"ath": None}, "ath"),
    "half a character as token": ({"ath": "\ud800"}, "ath"),
}


@pytest.mark.parametrize(("claims", "says"), CLAIMS.values(), ids=list(CLAIMS))
def test_a_claim_that_does_not_fit_is_named(claims, says):
    error = refusal(KEY.proof("GET", URL, "token", **claims), token="token")
    assert error.code == "invalid_dpop_proof"
    assert error.message.startswith(says), error.message


@pytest.mark.parametrize(("off_s", "good"), [(-61, False), (-59, True), (0, True), (59, True), (61, False)])
def test_a_clock_may_be_a_minute_off(off_s, good):
    now = 1_700_000_000
    proof = KEY.proof("GET", URL, iat=now + off_s)
    if good:
        assert check(proof, now=now)
    else:
        assert "clock" in refusal(proof, now=now).message


def test_half_a_character_in_a_name_is_no_error_of_ours():
    assert check(KEY.proof("GET", URL, jti="\ud800")).replay_key


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "a.b.c\n",
        " a.b.c",
        "!!.??.--",
        "e30.e30.",
        "bnVsbA.e30.AA",
        "W10.W10.AA",
        encoded(b"\xff\xfe") + ".e30.AA",
        encoded(b"[" * 2000) + ".e30.AA",
        encoded(b'{"typ":"dpop+jwt","alg":"ES256","jwk":{}}') + ".e30.AA",
        "a." * 3000,
        "é.é.é",
    ],
)
def test_what_is_no_jwt_is_refused(text):
    assert refusal(text).code == "invalid_dpop_proof"


def test_an_oversized_proof_is_not_even_parsed():
    assert str(MAX_PROOF_BYTES) in refusal("a" * (MAX_PROOF_BYTES + 1)).message


@pytest.mark.parametrize("claims", ["[]", "null", '"text"', "7", "{", "[" * 900])
def test_claims_that_are_no_object_are_refused(claims):
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public}
    assert "claims" in refusal(KEY.sign(header, claims)).message


@given(
    st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{1,80}")
)
def test_no_text_at_all_passes_or_fails_otherwise(text):
    assert refusal(text).code == "invalid_dpop_proof"


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), algorithm=st.sampled_from(["ES256", "EdDSA"]))
def test_a_flipped_bit_anywhere_is_refused(position, bit, algorithm):
    good = KEYS[algorithm].proof("GET", URL)
    at = position % len(good)
    flipped = good[:at] + chr(ord(good[at]) ^ (1 << bit)) + good[at + 1 :]
    try:
        check(flipped)
    except TokenRefused as refused:
        assert refused.code == "invalid_dpop_proof"
    else:
        # The last character of a segment has bits that carry nothing.
        assert _decoded(flipped) == _decoded(good)


def _decoded(proof):
    from jwcrypto.common import base64url_decode

    return [base64url_decode(part) for part in proof.split(".")]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    header=st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "crit", "kid", "b64", "x5c"]), _json),
    claims=st.dictionaries(st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]), _json),
)
@example(header={"b64": False}, claims={})
def test_any_json_in_a_proof_is_refused_or_is_a_good_proof(header, claims):
    top = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public} | header
    forged = (
        f"{encoded(json.dumps(top).encode())}.{encoded(json.dumps(claims).encode())}.{encoded(b'x' * 64)}"
    )
    assert refusal(forged[:MAX_PROOF_BYTES]).code == "invalid_dpop_proof"


class TestAddresses:
    @pytest.mark.parametrize(
        "same",
        [
            "HTTPS://OpenClaw.Example.com/api/v1/me/",
            "https://openclaw.example.com:443/api/v1/me/",
            "https://openclaw.example.com/api/./v1/me/",
            "https://openclaw.example.com/api/v2/../v1/me/",
            "https://openclaw.example.com/../api/v1/me/",
            "https://openclaw.example.com/%61pi/v1/me/",
            "https://openclaw.example.com/api/v1/me/?page=2",
            "https://openclaw.example.com/api/v1/me/#top",
            "wss://openclaw.example.com/api/v1/me/",
        ],
    )
    def test_one_address_in_other_words(self, same):
        assert normalised(same) in URLS

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("https://a/b%2Fc", "https://a/b/c"),
            ("https://a/b", "https://a/b/"),
            ("https://a/B", "https://a/b"),
            ("https://a:80/", "https://a/"),
            ("https://[::1]/", "https://[::2]/"),
        ],
    )
    def test_other_addresses_stay_other(self, one, other):
        assert normalised(one) and normalised(other)
        assert normalised(one) != normalised(other)

    @pytest.mark.parametrize(
        "bad", ["", "ftp://a/", "//a/", "https:///b", "https://a:99999/", "https://[/", "https://ä/", 7, None]
    )
    def test_what_is_no_address_is_none(self, bad):
        assert normalised(bad) == ""

    @given(st.text(max_size=100).map("https://a/".__add__))
    def test_normalising_twice_changes_nothing(self, url):
        once = normalised(url)
        assert normalised(once) == once


class TestNonces:
    def test_a_nonce_is_good_for_two_periods(self):
        given_at = 1_700_000_000.0
        value = nonce(given_at)
        assert nonce_is_good(value, given_at)
        assert nonce_is_good(value, given_at + 120)
        assert not nonce_is_good(value, given_at + 400)
        assert not nonce_is_good(value[:-1], given_at)
        assert not any(nonce_is_good(bad, given_at) for bad in (None, 7, "", "\ud800", [value]))

    def test_where_nonces_are_required_the_refusal_carries_one(self, settings):
        settings.DPOP_NONCE_REQUIRED = True
        error = refusal(KEY.proof("GET", URL))
        assert (error.code, bool(error.nonce)) == ("use_dpop_nonce", True)
        assert check(KEY.proof("GET", URL, nonce=error.nonce))


class TestChallenges:
    def test_nothing_shown_names_both_schemes(self):
        assert challenge() == 'Bearer realm="OpenClaw", DPoP realm="OpenClaw", algs="ES256 EdDSA"'

    def test_a_step_up_says_level_and_age(self):
        assert step_up_challenge(StepUp(2, 900)) == (
            'Bearer realm="OpenClaw", error="insufficient_user_authentication", acr_values="urn:openclaw:aal:2", '
            'max_age="900"'
        )

    @given(st.text())
    def test_no_text_breaks_out_of_its_quotes(self, text):
        value = challenge("Bearer", error_description=text)
        inside = value.removeprefix('Bearer realm="OpenClaw", error_description="').removesuffix('"')
        assert '"' not in inside and "\\" not in inside and inside.isprintable() and inside.isascii()

    @pytest.mark.parametrize(
        ("values", "level"),
        [
            ("", None),
            ("urn:openclaw:aal:2", 2),
            ("other urn:openclaw:aal:3", 3),
            ("urn:openclaw:aal:4", None),
        ],
    )
    def test_levels_have_names(self, values, level):
        assert level_of(values) == level
