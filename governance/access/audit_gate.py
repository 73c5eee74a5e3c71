"""Hands the decision point to the audit log, which stands below it."""

from __future__ import annotations

from django.http import HttpRequest

from governance.access.decisions import decide, require
from governance.access.standing import standing_of
from governance.audit import gate


def while_allowed(request: HttpRequest, action: str, pieces: gate.Pieces) -> gate.Pieces:
    """`pieces` until the action is no longer open to who sent the request."""
    return standing_of(request, lambda principal: decide(principal, action)).while_it_stands(pieces)


def connect() -> None:
    """Let the audit log ask."""
    gate.register(gate.Gate(require=require, decide=decide, while_allowed=while_allowed))
