"""Security event tokens (RFC 8417): from bytes that anybody may have sent to claims that the transmitter signed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jwcrypto.common import JWException
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

# Asymmetric signatures only: never "none", and nothing that our own knowledge of a key could have made.
ALGORITHMS = {"ES256": "EC", "RS256": "RSA", "PS256": "RSA", "EdDSA": "OKP"}
TYPES = frozenset({"secevent+jwt", "application/secevent+jwt"})
MAX_BYTES = 64 * 1024
MAX_EVENTS = 10
MAX_JTI = 255
MIN_RSA_BITS = 2048
# A transmitter that could not reach us tries again for hours; an outage of a day must not lose a revocation. What was
# taken is remembered for longer, so none of it can be played back.
MAX_AGE_S = 24 * 3600
SKEW_S = 60


class SetRefused(Exception):
    """A delivery that is not accepted: an error code of RFC 8935 §2.4 and a sentence for the transmitter's operator."""

    def __init__(self, err: str, description: str) -> None:
        super().__init__(description)
        self.err = err
        self.description = description


@dataclass(frozen=True, slots=True)
class Header:
    """What the token says of its own signature, before it is believed."""

    alg: str
    kid: str


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """A verified token. `events` are its payloads by event type, `subject` its RFC 9493 subject identifier."""

    jti: str
    issued_at: float
    events: Mapping[str, Mapping[str, Any]]
    subject: Mapping[str, Any]


def parse(token: str) -> tuple[JWS, Header]:
    """The signature's header. Raises SetRefused for what is no compact JWS of an allowed kind."""
    if len(token) > MAX_BYTES:
        _invalid(f"the token is longer than {MAX_BYTES} bytes")
    if not token.isascii() or token.count(".") != 2:
        _invalid("the body is no signed JWT in compact form")
    jws = JWS()
    jws.allowed_algs = list(ALGORITHMS)
    try:
        jws.deserialize(token)
        header = jws.jose_header
    except (JWException, ValueError, TypeError) as error:
        raise SetRefused("invalid_request", "the body is no signed JWT") from error
    alg, kid, typ = header.get("alg"), header.get("kid", ""), header.get("typ")
    if alg not in ALGORITHMS:
        _invalid(f"the signature must be one of {', '.join(ALGORITHMS)}")
    if not isinstance(typ, str) or typ.lower() not in TYPES:
        _invalid("the header “typ” must be secevent+jwt")
    if not isinstance(kid, str) or "crit" in header or "b64" in header:
        _invalid("the header has something in it that is not understood")
    return jws, Header(alg, kid)


def candidates(keys: Iterable[JWK], header: Header) -> list[JWK]:
    """The keys that may have made such a signature."""
    found = []
    for key in keys:
        facts = key.export_public(as_dict=True) if key.has_public else {}
        if (
            facts.get("kty") == ALGORITHMS[header.alg]
            and facts.get("use", "sig") == "sig"
            and facts.get("alg", header.alg) == header.alg
            and (not header.kid or facts.get("kid") == header.kid)
        ):
            found.append(key)
    return found


def verified(jws: JWS, header: Header, keys: Iterable[JWK]) -> dict[str, Any]:
    """The claims. Raises SetRefused when no key fits or none of them made the signature."""
    fitting = candidates(keys, header)
    if not fitting:
        raise SetRefused("invalid_key", "the transmitter has no such key for this kind of signature")
    for key in fitting:
        try:
            jws.verify(key, header.alg)
        except (JWException, ValueError):
            continue
        return _object(jws.payload)
    raise SetRefused("authentication_failed", "the signature is not by the transmitter's key")


def checked(
    claims: Mapping[str, Any], *, issuer: str, audience: str, now: float | None = None
) -> SecurityEvent:
    """The event, after every claim has been looked at. Raises SetRefused."""
    if claims.get("iss") != issuer:
        raise SetRefused("invalid_issuer", "the claim “iss” is not this transmitter's issuer")
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise SetRefused("invalid_audience", "the claim “aud” does not name this receiver")
    at = time.time() if now is None else now
    issued = claims.get("iat")
    if not isinstance(issued, int | float) or isinstance(issued, bool):
        _invalid("the claim “iat” is missing or no number")
    if not at - MAX_AGE_S <= issued <= at + SKEW_S:
        _invalid("the claim “iat” is in the future, or more than a day ago")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI or not jti.isprintable():
        _invalid("the claim “jti” is missing or not a short text")
    if "exp" in claims:
        _invalid("a security event has no claim “exp”")  # RFC 8417 §2.2: so that it is no access or ID token
    events = claims.get("events")
    if not isinstance(events, dict) or not 0 < len(events) <= MAX_EVENTS:
        _invalid(f"the claim “events” must hold 1 to {MAX_EVENTS} events")
    if not all(isinstance(payload, dict) for payload in events.values()):
        _invalid("each event must be an object")
    return SecurityEvent(jti, float(issued), events, _subject(claims, events))


def _subject(claims: Mapping[str, Any], events: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """`sub_id` of the token (RFC 9493), or, as earlier drafts had it, `subject` of its events."""
    found = claims.get("sub_id", next((e["subject"] for e in events.values() if "subject" in e), {}))
    if not isinstance(found, dict):
        _invalid("the subject must be an object")
    return found


def _object(payload: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name comes twice")
        return found

    try:
        claims = json.loads(payload, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise SetRefused("invalid_request", "the token's content is no proper JSON") from error
    if not isinstance(claims, dict):
        _invalid("the token's content must be an object")
    return claims


def _invalid(description: str) -> NoReturn:
    raise SetRefused("invalid_request", description)
