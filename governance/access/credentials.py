"""From an Authorization header, with its proof, to a principal: Bearer (RFC 6750) and DPoP (RFC 9449)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.utils.encoding import escape_uri_path

from governance.access.challenges import TokenRefused
from governance.access.dpop import Proof, check_proof, normalised
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

    @property
    def plausible(self) -> bool:
        """Whether the token is worth looking up."""
        return 0 < len(self.token) <= MAX_TOKEN and self.token.isascii()


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
    found = verified_token(presented.token) if presented.plausible else None
    if found is None:
        raise unknown_token(presented.scheme)
    proof = check_binding(found.jkt, presented, found.principal)
    if proof is not None:
        use_once(proof, found.principal)
    return found.principal


def check_binding(jkt: str, presented: Presented, principal: Principal) -> Proof | None:
    """The proof that a bound token came with; None for a bearer token. Raises TokenRefused when it came otherwise.

    The caller must see to it that the proof was not used before, once everything else is right.
    """
    if not jkt and presented.scheme == "Bearer":
        return None
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
    except TokenRefused as refused:
        refused.principal = principal
        raise
    return proof


def unknown_token(scheme: str) -> TokenRefused:
    """The refusal of a token that nobody has, or nobody has any more."""
    return TokenRefused("invalid_token", "the token is unknown, expired or revoked", scheme=scheme)


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


def presented_in(scope: Mapping[str, Any]) -> Presented | None:
    """The token of an ASGI request that Django does not see; None when it brought none."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    given = {name: value.decode("latin-1") for name, value in headers}
    scheme, _space, token = given.get(b"authorization", "").partition(" ")
    known = SCHEMES.get(scheme.lower())
    if known is None:
        return None
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    origins = [settings.PUBLIC_URL]
    host = given.get(b"host", "")
    domain, _port = split_domain_port(host)
    if domain and validate_host(domain, settings.ALLOWED_HOSTS):
        origins.append(f"{urlsplit(settings.PUBLIC_URL).scheme}://{host}")
    proofs = [value.decode("latin-1") for name, value in headers if name == b"dpop"]
    urls = frozenset(normalised(f"{origin}{path}") for origin in origins)
    return Presented(known, token.strip(), proofs, scope["method"], urls)
