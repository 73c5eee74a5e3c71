"""How this floor asks the decision point, which stands above it: `governance.access` hands it in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

from django.db import models
from django.http import HttpRequest
from rest_framework.request import Request

from governance.decision import Decision
from governance.principals import Principal
from governance.refs import ObjectRef


class Require(Protocol):
    """`governance.access.decisions.require`, and `decide` with the same parameters."""

    def __call__(
        self,
        principal: Principal,
        action: str,
        resource: ObjectRef | models.Model | None = None,
        *,
        tenant_id: UUID | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Decision: ...


Pieces = AsyncIterator[bytes]
WhileAllowed = Callable[[HttpRequest, str, Pieces], Pieces]


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands above: `while_allowed` ends a stream when the action is no longer open to who asked for it."""

    require: Require
    decide: Require
    while_allowed: WhileAllowed


_gate: Gate | None = None


def register(gate: Gate) -> None:
    """Ask `gate` from now on."""
    global _gate
    _gate = gate


def _known() -> Gate:
    if _gate is None:
        raise RuntimeError("There is no decision point, so nothing is allowed.")
    return _gate


def require(
    principal: Principal,
    action: str,
    resource: ObjectRef | models.Model | None = None,
    *,
    tenant_id: UUID | None = None,
    context: Mapping[str, Any] | None = None,
) -> Decision:
    """Ask the decision point; raises AccessDenied."""
    return _known().require(principal, action, resource, tenant_id=tenant_id, context=context)


def may(principal: Principal, action: str, *, tenant_id: UUID | None = None) -> bool:
    """Whether a page shall offer the action."""
    return _known().decide(principal, action, tenant_id=tenant_id).allow


def while_allowed(request: HttpRequest, action: str, pieces: Pieces) -> Pieces:
    """`pieces` as long as the action is open to who sent the request."""
    return _known().while_allowed(request, action, pieces)


def principal_of(request: HttpRequest | Request) -> Principal:
    """The principal that the middleware found."""
    plain = request._request if isinstance(request, Request) else request
    return cast(Principal, plain.principal)  # type: ignore[attr-defined]
