"""Checking an id token (OpenID Connect Core 1.0 §3.1.3.7) and reading from it what we need, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jwcrypto.common import JWException
from jwcrypto.jwk import JWKSet
from jwcrypto.jwt import JWT

from governance.principals import Factor

# Asymmetric signatures only: with a shared secret or none, whoever knows the client's id could speak for the provider.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
MAX_TOKEN = 32_768
MAX_GROUPS = 500
LEEWAY_S = 60
# RFC 8176; and the names of acr values that mean at least two factors.
MULTI_FACTOR_AMR = frozenset({"mfa"})
MULTI_FACTOR_ACR = frozenset(
    {
        "phr",
        "phrh",
        "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken",
        "https://refeds.org/profile/mfa",
    }
)


class TokenRefused(Exception):
    """The token is not one that this provider made for us, now. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a provider says about a person."""

    issuer: str
    subject: str
    groups: frozenset[str]
    username: str = ""
    given_name: str = ""
    family_name: str = ""
    email: str = ""
    factor: Factor = Factor.FEDERATED
    auth_time: float = 0.0
    nonce: str = ""


def verified(token: str, *, keys: str, issuer: str, client_id: str) -> dict[str, Any]:
    """The claims of a signed id token. Raises TokenRefused. The nonce is for the caller, who knows it."""
    if not token or len(token) > MAX_TOKEN:
        raise TokenRefused("no id token, or too long a one")
    try:
        jwt = JWT(
            algs=ALGORITHMS,
            check_claims={"iss": issuer, "aud": client_id, "exp": None, "iat": None, "sub": None},
            expected_type="JWS",
        )
        jwt.leeway = LEEWAY_S
        jwt.deserialize(token, key=JWKSet.from_json(keys))
        claims = json.loads(jwt.claims)
    except (JWException, ValueError, TypeError, KeyError) as error:
        raise TokenRefused(type(error).__name__) from error
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client_id:
        raise TokenRefused("a token for several clients that was not asked for by this one")
    if claims.get("azp", client_id) != client_id:
        raise TokenRefused("asked for by another client")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise TokenRefused("no usable subject")
    now = time.time() + LEEWAY_S
    if not 0 < _number(claims, "iat") <= now or ("nbf" in claims and not 0 < _number(claims, "nbf") <= now):
        raise TokenRefused("issued in the future, or for the future")
    return dict(claims)


def read(claims: Mapping[str, Any], *, group_claim: str) -> Claims:
    """Our own words for verified claims. A claim of another kind than expected counts as absent."""
    return Claims(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        groups=groups_of(claims, group_claim),
        username=_text(claims, "preferred_username") or _text(claims, "email"),
        given_name=_text(claims, "given_name"),
        family_name=_text(claims, "family_name"),
        email=_text(claims, "email"),
        factor=_factor(claims),
        auth_time=_number(claims, "auth_time"),
        nonce=_text(claims, "nonce"),
    )


def groups_of(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """The groups in the claim `name`, which may be a path (`realm_access.roles`), a list, or words in one text."""
    value: Any = claims.get(name)
    if value is None and "." in name:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, list):
        return frozenset()
    return frozenset(item for item in value[:MAX_GROUPS] if isinstance(item, str) and item)


def _factor(claims: Mapping[str, Any]) -> Factor:
    methods = claims.get("amr")
    said = {str(method) for method in methods} if isinstance(methods, list) else set()
    if said & MULTI_FACTOR_AMR or _text(claims, "acr") in MULTI_FACTOR_ACR:
        return Factor.OTP
    return Factor.FEDERATED


def _number(claims: Mapping[str, Any], name: str) -> float:
    """A time of a claim, in seconds since the epoch; 0 for what is none."""
    value = claims.get(name)
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**40
    return float(value) if sane else 0.0  # type: ignore[arg-type]


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return " ".join(value.split())[:150] if isinstance(value, str) else ""
