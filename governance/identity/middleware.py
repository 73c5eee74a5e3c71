"""Keeping sessions: automatic logoff, use written down, and what a session owes before it may do anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from governance.access.requests import principal_of
from governance.access.rest import PROBLEM_JSON
from governance.identity import care as cares
from governance.identity import sign_in
from governance.identity.services import sessions

# Where a session may go that still owes a second factor: setting one up, proving who one is, and out.
FREE = frozenset(
    {
        "second-factor-due",
        "account-totp",
        "account-passkey",
        "reauthenticate",
        "logout",
        "set_language",
        "health-live",
        "health-ready",
    }
)

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class SessionCareMiddleware:
    """Stands before the principal's middleware, after sessions, sign-in and messages."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        care = cares.read(request.session)
        if care is not None and care.over():
            _end(request)
        elif care is None and _lost(request):
            _tell(request)
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        care = cares.read(request.session)
        if care is None or principal_of(request).scopes is not None:
            return None
        if care.due() and not _by_itself(request):
            used = sessions.use(
                session=request.session,
                user=sign_in.person_of(request),
                tenant_id=principal_of(request).tenant_id,
                factor=sign_in.factor_now(request),
            )
            if used is None or used.over():
                _end(request)
                return None
            care = used
        name = request.resolver_match.url_name if request.resolver_match else ""
        if care.setup and name not in FREE:
            return _owes(request)
        return None


def _by_itself(request: HttpRequest) -> bool:
    """Whether a page refreshes a part of itself: that is no activity of a person."""
    return request.method == "GET" and "HX-Request" in request.headers


def _lost(request: HttpRequest) -> bool:
    """Whether the cookie's session is gone because it was over. The cookie goes with this answer, so it asks once."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    gone = bool(key) and not request.session.session_key
    return gone and sessions.why_ended(key) == sessions.OVER


def _end(request: HttpRequest) -> None:
    sign_in.expire(request, reason=sessions.OVER)
    _tell(request)


def _tell(request: HttpRequest) -> None:
    if request.method == "GET" and not _wants_json(request):
        messages.info(
            request, _("You were signed out because you had not been active, or for too long a time.")
        )


def _owes(request: HttpRequest) -> HttpResponseBase:
    if not _wants_json(request):
        return HttpResponseRedirect(reverse("second-factor-due"))
    body = {
        "type": "urn:openclaw:problem:second-factor-due",
        "title": "Forbidden",
        "status": 403,
        "detail": _("Your organisation demands a second factor for your role."),
        "hint": _("Sign in with a browser and set one up."),
    }
    return HttpResponse(json.dumps(body), status=403, content_type=PROBLEM_JSON)


def _wants_json(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
