"""The errors that a person may read. Every face maps them once: API to RFC 9457, pages to a message.

A message says what happened and why; a hint says what to do. Neither ever carries a secret or another tenant's data.
"""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise

from governance.decision import Decision

Text = str | Promise


class DomainError(Exception):
    """A rule of the product said no.

    `status` is the HTTP status that every HTTP face answers with; after `retry_after_s` seconds the same may succeed.
    """

    status = 400
    code = "invalid"
    retry_after_s: int | None = None

    def __init__(
        self, message: Text, *, code: str = "", hint: Text = "", errors: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.code
        self.errors = errors or []

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(DomainError):
    """The input cannot be accepted as it is."""

    status = 400
    code = "invalid-input"


class NotFound(DomainError):
    """There is no such thing, or not for this principal: the two must look the same."""

    status = 404
    code = "not-found"


class Conflict(DomainError):
    """The request contradicts the present state."""

    status = 409
    code = "conflict"


class IllegalTransition(Conflict):
    """A state machine does not know this step. The message names both states."""

    code = "illegal-transition"


class TooLarge(DomainError):
    """More bytes than the stated limit."""

    status = 413
    code = "too-large"


class Unavailable(DomainError):
    """A part that is needed is not there now; the same request may succeed later."""

    status = 503
    code = "unavailable"
    retry_after_s = 5


class AccessDenied(DomainError):
    """The policy decision point refused. Carries the decision, so that the refusal can be audited."""

    status = 403
    code = "access-denied"

    def __init__(self, message: Text, *, decision: Decision, hint: Text = "") -> None:
        super().__init__(message, hint=hint)
        self.decision = decision


class StepUpRequired(AccessDenied):
    """The right is there, but the identity must be proven again or more strongly first (RFC 9470).

    Answered with 401 and a challenge on the API, with a page that asks for the factor elsewhere.
    """

    status = 401
    code = "insufficient-user-authentication"


class ObligationUnmet(AccessDenied):
    """The right is there, but on a condition that this request does not fulfil."""

    code = "obligation-unmet"
