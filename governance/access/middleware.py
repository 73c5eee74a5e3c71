"""The request's frame: an id, a principal, and one transaction that sees exactly the principal's rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject

from governance.access import stepup
from governance.access.challenges import TokenRefused
from governance.access.credentials import presented_by, principal_of_token
from governance.access.posture import posture_of
from governance.access.principals import principal_for_user
from governance.access.services import record_refusal
from governance.access.signals import SESSION_DEVICE, session_signals
from governance.errors import AccessDenied, DomainError, NotFound, StepUpRequired
from governance.ids import uuid7
from governance.principals import ANONYMOUS, Principal
from governance.tenants.checkpoints import Cause, caused_by
from governance.tenants.context import RowScope, request_id, row_scope

SESSION_TENANT = "openclaw_tenant"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

GetResponse = Callable[[HttpRequest], HttpResponseBase]
View = Callable[..., HttpResponseBase]


class RequestIdMiddleware:
    """Takes a well-formed X-Request-ID or makes one, and sends it back: log lines and audit entries carry it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        value = given if REQUEST_ID.fullmatch(given) else str(uuid7())
        request.request_id = value  # type: ignore[attr-defined]
        with request_id(value):
            response = self.get_response(request)
        response.headers["X-Request-ID"] = value
        return response


class PrincipalMiddleware:
    """Puts `request.principal` on every request and runs the view inside its row-security context.

    The view and the rendering of its response share one transaction: it is rolled back on an exception or an answer of
    500 and above. A view marked `transaction.non_atomic_requests` gets the context and opens its own transactions.
    Must be the last middleware with a `process_view`.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.principal = SimpleLazyObject(lambda: find_principal(request))  # type: ignore[attr-defined]
        response = self.get_response(request)
        if refused := getattr(request, "token_refused", None):
            stepup.offer_nonce(response, refused)
        return response

    def process_view(
        self, request: HttpRequest, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase:
        principal: Principal = request.principal  # type: ignore[attr-defined]
        scope = RowScope(tenant_id=principal.tenant_id, platform=principal.platform)
        try:
            with row_scope(scope), caused_by(Cause.of(principal) if principal.is_authenticated else None):
                if DEFAULT_DB_ALIAS in getattr(view, "_non_atomic_requests", ()):
                    response = view(request, *args, **kwargs)
                else:
                    response = _in_transaction(request, view, args, kwargs)
        except DomainError as error:
            _keep_refusal(error)
            if (refused := getattr(request, "token_refused", None)) is not None:
                return stepup.token_refused(refused)
            if isinstance(error, StepUpRequired) and principal.is_authenticated:
                return stepup.answer(request, error)
            # Row security hides everything from who is not signed in: a 404 here would only be puzzling.
            if isinstance(error, (AccessDenied, NotFound)) and not principal.is_authenticated:
                return redirect_to_login(request.get_full_path())
            return error_page(request, error)
        # The API's exception handler has already answered; what it refused is kept here, after the rollback.
        _keep_refusal(getattr(request, "refusal", None))
        return response


def _in_transaction(
    request: HttpRequest, view: View, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> HttpResponseBase:
    with transaction.atomic():
        response = view(request, *args, **kwargs)
        if callable(getattr(response, "render", None)):
            response = response.render()  # type: ignore[attr-defined]
        if response.status_code >= 500:
            transaction.set_rollback(True)
    return response


def _keep_refusal(error: object) -> None:
    # Who is not signed in has no identity to hold to account; a scanner must not be able to fill the log.
    if isinstance(error, AccessDenied) and error.decision.principal.is_authenticated:
        record_refusal(error)


def find_principal(request: HttpRequest) -> Principal:
    """The token's principal if one was sent (never the session's then), else the signed-in person's.

    Nobody when the token is not accepted; `request.token_refused` then says why.
    """
    presented = presented_by(request)
    if presented is not None:
        try:
            return principal_of_token(presented)
        except TokenRefused as refused:
            request.token_refused = refused  # type: ignore[attr-defined]
            return ANONYMOUS
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return ANONYMOUS
    chosen = request.session.get(SESSION_TENANT)
    found = principal_for_user(
        user, tenant_id=UUID(chosen) if chosen else None, signals=session_signals(request)
    )
    key = request.session.get(SESSION_DEVICE)
    if not key or found.tenant_id is None:
        return found
    device = posture_of(tenant_id=found.tenant_id, user_id=user.id, jkt=key)
    return replace(found, signals=replace(found.signals, device=device))


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """The readable page for a rule that said no; somebody who is not signed in is asked to sign in first."""
    principal: Principal = request.principal  # type: ignore[attr-defined]
    if isinstance(error, AccessDenied) and not principal.is_authenticated and request.method == "GET":
        return redirect_to_login(request.get_full_path())
    context = {"error": error, "status": error.status}
    response = render(request, "errors/domain_error.html", context, status=error.status)
    if error.retry_after_s:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
