"""How the REST API knows who is asking, and the gate that every endpoint stands behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from governance.access import stepup
from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.principals import Principal

if TYPE_CHECKING:
    from rest_framework.views import APIView


def _no_response(_request: HttpRequest) -> HttpResponseBase:
    return HttpResponse(status=204)


class PrincipalAuthentication(BaseAuthentication):
    """Hands over the principal that the middleware found; a session additionally needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        principal = principal_of(request)
        if not principal.is_authenticated:
            return None
        if principal.scopes is None:
            self._enforce_csrf(request)
        return request._request.user, principal

    def authenticate_header(self, request: Request) -> str:
        return stepup.challenges(request._request)

    def _enforce_csrf(self, request: Request) -> None:
        check = CsrfViewMiddleware(_no_response)
        check.process_request(request._request)
        refused = check.process_view(request._request, _no_response, (), {})
        if refused is not None:
            raise exceptions.PermissionDenied(
                _("The CSRF token is missing or wrong. Reload the page and try again.")
            )


class DecisionPermission(BasePermission):
    """Asks the decision point for the action that the view names for this method; a view that names none is refused.

    The view has `decisions = {"list": "registry.model.view", …}` (by viewset action) or by HTTP method in lower case.
    Services ask again about the very object; this is the gate before anything is read.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        name = getattr(view, "action", None) or (request.method or "").lower()
        action = getattr(view, "decisions", {}).get(name, f"undeclared.{name}")
        require(principal_of(request), action)
        return True
