"""From an Authorization header, with its proof, to a principal: Bearer (RFC 6750) and DPoP (RFC 9449)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.encoding import escape_uri_path

from governance.access.challenges import TokenRefused
from governance.access.dpop import check_proof, normalised
from governance.access.principals import verified_token
from governance.access.refusals import note_token_refusal
from governance.access.replay import use_once
from governance.principals import Principal

SCHEMES = {"bearer": "Bearer", "dpop": "DPoP"}
MAX_TOKEN = 512


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request brought: `scheme` as in `SCHEMES`, the token, and for DPoP what a proof must be about.

    `proofs` are all DPoP headers, `urls` the normalised addresses that the request may be known by.
    """

    scheme: str
    token: str
    proofs: Sequence[str]
    method: str
    urls: frozenset[str]


def presented_by(request: HttpRequest) -> Presented | None:
    """The token of a Django request; None when it brought none."""
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    known = SCHEMES.get(scheme.lower())
    if known is None:
        return None
    if known == "Bearer":
        return Presented(known, token.strip(), (), "", frozenset())
    return Presented(known, token.strip(), proofs_of(request), request.method or "", urls_of(request))


def principal_of_token(presented: Presented) -> Principal:
    """Whose token it is. Raises TokenRefused, which is kept in the audit log when the owner is known."""
    try:
        return _principal_of(presented)
    except TokenRefused as refused:
        note_token_refusal(refused)
        raise


def _principal_of(presented: Presented) -> Principal:
    token = presented.token
    found = verified_token(token) if 0 < len(token) <= MAX_TOKEN and token.isascii() else None
    if found is None:
        raise TokenRefused(
            "invalid_token", "the token is unknown, expired or revoked", scheme=presented.scheme
        )
    check_binding(found.jkt, presented, found.principal)
    return found.principal


def check_binding(jkt: str, presented: Presented, principal: Principal) -> None:
    """Raise TokenRefused unless the token came the way it must: bound ones with a proof, others as bearer tokens."""
    if not jkt and presented.scheme == "Bearer":
        return
    try:
        if not jkt:
            raise TokenRefused("invalid_token", "this token is not bound to a key: send it as Bearer")
        if presented.scheme == "Bearer":
            raise TokenRefused(
                "invalid_token",
                "this token is bound to a key: send it as DPoP, with a proof",
                scheme="Bearer",
            )
        proof = check_proof(
            only_one(presented.proofs),
            method=presented.method,
            urls=presented.urls,
            access_token=presented.token,
        )
        if proof.jkt != jkt:
            raise TokenRefused("invalid_token", "the proof is by another key than the token is bound to")
        use_once(proof)
    except TokenRefused as refused:
        refused.principal = principal
        raise


def only_one(proofs: Sequence[str]) -> str:
    """The one DPoP header. Raises TokenRefused for none or several."""
    if len(proofs) != 1:
        raise TokenRefused(
            "invalid_dpop_proof",
            "send exactly one DPoP header with a proof"
            if proofs
            else "the DPoP header with a proof is missing",
        )
    return proofs[0]


def proofs_of(request: HttpRequest) -> list[str]:
    """Every DPoP header. Django joins equal headers with a comma, which no proof has in it."""
    given = request.headers.get("DPoP")
    return [] if given is None else [part.strip() for part in given.split(",")]


def urls_of(request: HttpRequest) -> frozenset[str]:
    """The addresses that this request may be known by: the one it was sent to, and the site's public one."""
    scope: dict[str, Any] = getattr(request, "scope", {})
    raw: bytes = scope.get("raw_path") or b""
    path = raw.decode("latin-1").partition("?")[0] or escape_uri_path(request.path)
    origins = (f"{request.scheme}://{request.get_host()}", settings.PUBLIC_URL)
    return frozenset(normalised(f"{origin}{path}") for origin in origins)
