"""What a request is answered with when no view could: without the database, without details."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.views.defaults import page_not_found

RETRY_AFTER_S = "5"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: a page for people, problem details (RFC 9457) below /api/."""
    if _is_api(request):
        return _problem(404, "Not Found", "not-found", "There is no such address here.")
    return page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the database does not answer: the same request may succeed in a moment."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        detail = "A part that is needed does not answer. Nothing was changed; try again in a moment."
        response = (
            _problem(503, "Service Unavailable", "unavailable", detail)
            if _is_api(request)
            else HttpResponse(loader.render_to_string("503.html"), status=503)
        )
        response.headers["Retry-After"] = RETRY_AFTER_S
        return response
    if _is_api(request):
        detail = (
            "The error has been logged; nothing of the request was kept. Tell the operator the X-Request-ID."
        )
        return _problem(500, "Internal Server Error", "internal-error", detail)
    return HttpResponse(loader.render_to_string("500.html"), status=500)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _problem(status: int, title: str, code: str, detail: str) -> JsonResponse:
    body = {"type": f"urn:openclaw:problem:{code}", "title": title, "status": status, "detail": detail}
    return JsonResponse(body, status=status, content_type="application/problem+json")
