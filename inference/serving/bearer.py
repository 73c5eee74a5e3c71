"""Tokens that are not simply accepted: who looks at them, and what the callers are told."""

from __future__ import annotations

from typing import Protocol

from governance.access.challenges import challenge, step_up_challenge
from governance.decision import StepUp
from inference.serving.errors import ProtocolError
from inference.serving.http import RequestHeaders, Scope
from inference.serving.lookups import Caller, Lookups


class Prover(Protocol):
    """Finds the caller where a good bearer token does not already name one."""

    async def caller(self, scope: Scope, lookups: Lookups) -> Caller:
        """The caller, proven. Raises ProtocolError (401, or 503 while that cannot be told)."""


class BearerOnly:
    """Accepts nothing but bearer tokens, so nobody who comes here."""

    async def caller(self, scope: Scope, lookups: Lookups) -> Caller:
        raise unidentified(RequestHeaders.of(scope).token)


def unidentified(token: str) -> ProtocolError:
    """The refusal of who sent no token, or one that is good for nothing."""
    message = "the token is unknown, expired or revoked" if token else "send a bearer token"
    value = challenge("Bearer", error="invalid_token", error_description=message) if token else challenge()
    return ProtocolError(401, f"{message} (Authorization: Bearer …)", headers=(authenticate(value),))


def step_up_needed(caller: Caller, step_up: StepUp, reason: str) -> ProtocolError:
    """RFC 9470: the right is there, but the identity must be proven better or anew."""
    value = step_up_challenge(step_up, scheme="DPoP" if caller.jkt else "Bearer", message=reason)
    return ProtocolError(401, reason, headers=(authenticate(value),))


def authenticate(value: str) -> tuple[bytes, bytes]:
    """The header WWW-Authenticate."""
    return (b"www-authenticate", value.encode())
