"""Proofs of possession, RFC 9449: a token that is bound to a key works only with a fresh signature by that key.

Here is what can be told from the proof alone. That it was not used before is told by `governance.access.replay`, that
its key is the token's by who knows the token.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.utils.crypto import salted_hmac
from jwcrypto.common import JWException, base64url_decode
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from governance.access.challenges import ALGORITHMS, TokenRefused

MAX_PROOF_BYTES = 4096
MAX_JTI = 256
SKEW_S = 60
# A nonce is good in the period it was given in and in the next one.
NONCE_PERIOD_S = 120

_SEGMENTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# kty and crv by algorithm, with the members that make the public key.
_KEYS = {"ES256": ("EC", "P-256", ("x", "y")), "EdDSA": ("OKP", "Ed25519", ("x",))}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PORTS = {"http": 80, "https": 443}
_SOCKETS = {"ws": "http", "wss": "https"}
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_UNPARSABLE = (ValueError, TypeError, RecursionError, JWException)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature and claims are good. `jkt` is the key's thumbprint (RFC 7638, SHA-256, base64url)."""

    jkt: str
    jti: str

    @property
    def replay_key(self) -> str:
        """What must not be seen twice."""
        return sha256(f"{self.jkt} {self.jti}".encode("utf-8", "surrogatepass")).hexdigest()


def check_proof(
    proof: str, *, method: str, urls: Collection[str], access_token: str = "", now: float | None = None
) -> Proof:
    """Verify a DPoP proof for a request of `method` to one of `urls` (normalised), and for `access_token` if given.

    Raises TokenRefused: `invalid_dpop_proof` with what is wrong, or `use_dpop_nonce` with a nonce to use.
    """
    at = time.time() if now is None else now
    if len(proof) > MAX_PROOF_BYTES:
        raise _bad(f"the proof is longer than {MAX_PROOF_BYTES} bytes")
    segments = _SEGMENTS.fullmatch(proof)
    if segments is None:
        raise _bad("the proof must be exactly one JWT in compact form")
    algorithm, key, jkt = _key_of(segments[1])
    claims = _verified(proof, algorithm, key)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:
        raise _bad(f"jti must be a text of 1 to {MAX_JTI} characters")
    if claims.get("htm") != method:
        raise _bad("htm is not the method of this request")
    if normalised(claims.get("htu")) not in urls:
        raise _bad("htu is not the address of this request")
    issued = claims.get("iat")
    if isinstance(issued, bool) or not isinstance(issued, (int, float)) or not abs(issued) < 1e11:
        raise _bad("iat must be a time in seconds since the epoch")
    if not abs(at - issued) <= SKEW_S:
        raise _bad(f"iat is more than {SKEW_S} seconds away from the server's clock")
    if access_token and not _is_digest(claims.get("ath"), access_token):
        raise _bad("ath is not the digest of the access token")
    if settings.DPOP_NONCE_REQUIRED and not nonce_is_good(claims.get("nonce"), at):
        raise TokenRefused("use_dpop_nonce", "the proof must carry the nonce of DPoP-Nonce", nonce=nonce(at))
    return Proof(jkt, jti)


def normalised(url: object) -> str:
    """A request's address without query and fragment, so that equal addresses are equal texts (RFC 3986 §6.2).

    ws and wss count as the http and https of their handshake. What is no such address becomes the empty text.
    """
    if not isinstance(url, str) or not url.isascii() or len(url) > 2048:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    scheme = _SOCKETS.get(parts.scheme.lower(), parts.scheme.lower())
    host = (parts.hostname or "").lower()
    if scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
        return ""
    at = f"[{host}]" if ":" in host else host
    if port not in (None, _PORTS[scheme]):
        at += f":{port}"
    return f"{scheme}://{at}{_normal_path(parts.path)}"


def nonce(now: float) -> str:
    """The nonce of the present period: a keyed digest of it, the same in every process, remembered by none."""
    return _nonce(int(now // NONCE_PERIOD_S))


def nonce_is_good(given: object, now: float) -> bool:
    """Whether the nonce was given out in this period or the one before."""
    period = int(now // NONCE_PERIOD_S)
    return (
        isinstance(given, str)
        and given.isascii()
        and any(hmac.compare_digest(given, _nonce(known)) for known in (period, period - 1))
    )


def digest_of(access_token: str) -> str:
    """The claim `ath` for a token."""
    return urlsafe_b64encode(sha256(access_token.encode()).digest()).rstrip(b"=").decode()


@lru_cache(maxsize=4096)
def _key_of(header: str) -> tuple[str, JWK, str]:
    """Algorithm, public key and thumbprint in the first segment, which is the same in every proof of a client."""
    try:
        found = json.loads(base64url_decode(header))
    except _UNPARSABLE:
        raise _bad("the header is not valid JSON in base64url") from None
    if not isinstance(found, dict):
        raise _bad("the header is not a JSON object")
    if found.get("typ") != "dpop+jwt":
        raise _bad("typ must be dpop+jwt")
    algorithm, given = found.get("alg"), found.get("jwk")
    if algorithm not in ALGORITHMS:
        raise _bad(f"alg must be one of {', '.join(ALGORITHMS)}")
    if "crit" in found:
        raise _bad("crit names extensions that are not supported here")
    if not isinstance(given, dict):
        raise _bad("jwk must be the public key")
    if not _PRIVATE.isdisjoint(given):
        raise _bad("jwk holds a private key: that key is no secret any more, make a new one")
    type_, curve, members = _KEYS[algorithm]
    public = {name: given.get(name) for name in members}
    if (given.get("kty"), given.get("crv")) != (type_, curve) or not all(
        isinstance(value, str) for value in public.values()
    ):
        raise _bad(f"jwk is not a public key for {algorithm}")
    try:
        key = JWK(kty=type_, crv=curve, **public)
        key.get_op_key("verify")
        return algorithm, key, key.thumbprint()
    except _UNPARSABLE:
        raise _bad(f"jwk is not a public key for {algorithm}") from None


def _verified(proof: str, algorithm: str, key: JWK) -> dict[str, Any]:
    signed = JWS()
    signed.allowed_algs = [algorithm]
    try:
        signed.deserialize(proof)
        signed.verify(key, algorithm)
    except _UNPARSABLE:
        raise _bad("the signature is not by the key in jwk") from None
    try:
        claims = json.loads(signed.payload)
    except _UNPARSABLE:
        raise _bad("the claims are not valid JSON") from None
    if not isinstance(claims, dict):
        raise _bad("the claims are not a JSON object")
    return claims


def _is_digest(given: object, access_token: str) -> bool:
    return isinstance(given, str) and given.isascii() and hmac.compare_digest(given, digest_of(access_token))


def _normal_path(path: str) -> str:
    """Percent-encoding in one form and without dot segments."""
    plain = _ESCAPED.sub(_unescaped, quote(path, safe="/%:@!$&'()*+,;=~"))
    kept: list[str] = []
    segments = plain.removeprefix("/").split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else f"%{match[1].upper()}"


def _nonce(period: int) -> str:
    return salted_hmac("openclaw.dpop.nonce", str(period), algorithm="sha256").hexdigest()[:32]


def _bad(message: str) -> TokenRefused:
    return TokenRefused("invalid_dpop_proof", message)
