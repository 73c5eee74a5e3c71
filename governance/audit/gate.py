"""How this floor asks the decision point, which stands above it: `governance.access` hands it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast
from uuid import UUID

from django.db import models
from django.http import HttpRequest
from rest_framework.request import Request

from governance.decision import Decision
from governance.principals import Principal
from governance.refs import ObjectRef


class Require(Protocol):
    """`governance.access.decisions.require`."""

    def __call__(
        self,
        principal: Principal,
        action: str,
        resource: ObjectRef | models.Model | None = None,
        *,
        tenant_id: UUID | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Decision: ...


_require: Require | None = None


def register(require: Require) -> None:
    """Ask `require` from now on."""
    global _require
    _require = require


def require(
    principal: Principal,
    action: str,
    resource: ObjectRef | models.Model | None = None,
    *,
    tenant_id: UUID | None = None,
    context: Mapping[str, Any] | None = None,
) -> Decision:
    """Ask the decision point; raises AccessDenied. With no decision point, nothing is allowed."""
    if _require is None:
        raise RuntimeError("There is no decision point, so nothing is allowed.")
    return _require(principal, action, resource, tenant_id=tenant_id, context=context)


def principal_of(request: HttpRequest | Request) -> Principal:
    """The principal that the middleware found."""
    plain = request._request if isinstance(request, Request) else request
    return cast(Principal, plain.principal)  # type: ignore[attr-defined]
