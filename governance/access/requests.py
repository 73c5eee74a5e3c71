"""Who makes a request, typed: the one place that knows where the middleware keeps it."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request

from governance.principals import Principal


def principal_of(request: HttpRequest | Request) -> Principal:
    """The principal that `PrincipalMiddleware` found; of a REST framework request, its Django request's."""
    plain = request._request if isinstance(request, Request) else request
    return cast(Principal, plain.principal)  # type: ignore[attr-defined]
