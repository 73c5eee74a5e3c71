"""What every REST endpoint shares: RFC 9457 errors and keyset pagination."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.db import connection, transaction
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from rest_framework import exceptions, pagination
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from governance.access import stepup
from governance.access.challenges import TokenRefused, challenge
from governance.errors import AccessDenied, DomainError, StepUpRequired, TooLarge

PROBLEM_JSON = "application/problem+json"


class KeysetPagination(pagination.CursorPagination):
    """Pages by key, newest first: stable while rows arrive, and as fast on page 1,000 as on page 1."""

    ordering = "-id"
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error as problem details (RFC 9457); whatever the request had begun is rolled back."""
    if connection.in_atomic_block:
        transaction.set_rollback(True)
    request = context["request"]._request
    if isinstance(error, RequestDataTooBig):
        error = TooLarge(_("The body is too large; files are sent as multipart/form-data."))
    if isinstance(error, AccessDenied):
        if not request.principal.is_authenticated:
            return _not_authenticated(request)
        request.refusal = error
    if isinstance(error, StepUpRequired):
        return _problem(
            error.status,
            str(error.message),
            code=error.code,
            hint=str(error.hint),
            headers={"WWW-Authenticate": stepup.wanted(request, error)},
            step_up=stepup.described(error),
        )
    if isinstance(error, DomainError):
        return _problem(
            error.status,
            str(error.message),
            code=error.code,
            hint=str(error.hint),
            errors=error.errors,
            headers={"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None,
        )
    if isinstance(error, ValidationError):
        error = exceptions.ValidationError(error.messages)
    return _from_drf(error, context)


def _from_drf(error: Exception, context: dict[str, Any]) -> Response | None:
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        return _problem(
            response.status_code,
            _("Some fields are not valid."),
            code="invalid-input",
            errors=_field_errors(response.data),
            headers=response.headers,
        )
    code = getattr(error, "default_code", "error").replace("_", "-")
    if isinstance(error, (Http404, exceptions.NotFound)):
        code = "not-found"
        text = _("There is no such thing here, or you may not see it.")
    elif isinstance(error, PermissionDenied):
        code = "access-denied"
        text = _("You may not do this.")
    else:
        text = str(getattr(error, "detail", error))
    return _problem(response.status_code, text, code=code, headers=response.headers)


def _not_authenticated(request: HttpRequest) -> Response:
    """401 with what was wrong with the token, or what there is to sign in with; 503 where nobody can tell."""
    refused: TokenRefused | None = getattr(request, "token_refused", None)
    if refused is None:
        return _problem(
            HTTPStatus.UNAUTHORIZED,
            _("This needs a valid access token or a signed-in person."),
            code="not-authenticated",
            headers={"WWW-Authenticate": challenge()},
        )
    return _problem(
        refused.status,
        refused.message,
        code=refused.code.replace("_", "-"),
        headers={"WWW-Authenticate": refused.challenge}
        if refused.status == HTTPStatus.UNAUTHORIZED
        else {"Retry-After": "5"},
    )


def _field_errors(data: Any, pointer: str = "") -> list[dict[str, str]]:
    if isinstance(data, dict):
        return [e for key, value in data.items() for e in _field_errors(value, f"{pointer}/{key}")]
    if isinstance(data, list):
        return [e for value in data for e in _field_errors(value, pointer)]
    return [{"pointer": pointer or "/", "detail": str(data)}]


def _problem(
    code_number: int,
    detail: str,
    *,
    code: str,
    hint: str = "",
    errors: list[dict[str, Any]] | None = None,
    headers: Any = None,
    **more: Any,
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:openclaw:problem:{code}",
        "title": HTTPStatus(code_number).phrase,
        "status": code_number,
        "detail": detail,
        **more,
    }
    if hint:
        body["hint"] = hint
    if errors:
        body["errors"] = errors
    kept = {k: v for k, v in dict(headers or {}).items() if k in {"WWW-Authenticate", "Retry-After", "Allow"}}
    return Response(body, status=code_number, content_type=PROBLEM_JSON, headers=kept)


def ensure_size(size_bytes: int, limit_bytes: int) -> None:
    """Raise `TooLarge`, naming the limit, when an upload is bigger than it may be."""
    if size_bytes > limit_bytes:
        raise TooLarge(
            _("The file has %(size)d bytes; at most %(limit)d are accepted.")
            % {"size": size_bytes, "limit": limit_bytes}
        )
