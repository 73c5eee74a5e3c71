"""Answering who is not let in as he is: with a challenge for programs (RFC 9470), with a way to go on for people."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from governance.access.challenges import TokenRefused, acr_of, challenge, step_up_challenge
from governance.access.credentials import SCHEMES
from governance.errors import StepUpRequired
from governance.principals import Principal


def answer(request: HttpRequest, error: StepUpRequired) -> HttpResponse:
    """Send a person to prove the identity again, and back. What was being sent is not done, and the page says so."""
    principal: Principal = request.principal  # type: ignore[attr-defined]
    if principal.scopes is not None:
        return HttpResponse(
            str(error),
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": wanted(request, error)},
        )
    if request.headers.get("HX-Request") == "true":
        way = reauthenticate_url(error, back=_path_of(request, request.headers.get("HX-Current-URL", "")))
        return HttpResponse(status=204, headers={"HX-Redirect": way})
    if request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(reauthenticate_url(error, back=request.get_full_path()))
    way = reauthenticate_url(error, back=_path_of(request, request.headers.get("Referer", "")))
    context = {"error": error, "way": way}
    return render(request, "access/step_up.html", context, status=error.status)


def wanted(request: HttpRequest, error: StepUpRequired) -> str:
    """The challenge that says which proof of identity is missing."""
    scheme = SCHEMES.get(request.headers.get("Authorization", "").partition(" ")[0].lower(), "Bearer")
    step_up = error.decision.step_up
    assert step_up is not None
    return step_up_challenge(step_up, scheme=scheme, message=str(error.message))


def reauthenticate_url(error: StepUpRequired, *, back: str) -> str:
    """The page that asks for the factor that is missing, and leads back."""
    step_up = error.decision.step_up
    return reauthenticate_path(step_up.level if step_up else 1, back=back)


def reauthenticate_path(level: int, *, back: str) -> str:
    """The page that asks for a factor of at least this level, and leads back."""
    return f"{reverse('reauthenticate')}?{urlencode({'next': back, 'level': level})}"


def described(error: StepUpRequired) -> dict[str, Any]:
    """The same for a program's eyes: the level, the greatest age in seconds, and the page for a signed-in person."""
    step_up = error.decision.step_up
    assert step_up is not None
    return {
        "acr_values": acr_of(step_up.level),
        "max_age": step_up.max_age_s or None,
        "page": reauthenticate_url(error, back=reverse("home")),
    }


def token_refused(refused: TokenRefused) -> HttpResponse:
    """The answer of a page, which is not made for programs, to a token that is not accepted."""
    headers = {"WWW-Authenticate": refused.challenge} if refused.status == 401 else {"Retry-After": "5"}
    response = HttpResponse(
        refused.message, status=refused.status, content_type="text/plain", headers=headers
    )
    offer_nonce(response, refused)
    return response


def offer_nonce(response: HttpResponseBase, refused: TokenRefused) -> None:
    """RFC 9449 §9: the nonce that the next proof must carry."""
    if refused.nonce:
        response.headers["DPoP-Nonce"] = refused.nonce
        response.headers["Cache-Control"] = "no-store"


def challenges(request: Any) -> str:
    """The value of WWW-Authenticate for who has shown nothing that counts."""
    refused: TokenRefused | None = getattr(request, "token_refused", None)
    return refused.challenge if refused is not None else challenge()


def _path_of(request: HttpRequest, url: str) -> str:
    """Path and query of an address of this site; the start page for any other."""
    if not url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}):
        return reverse("home")
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
