"""What a caller says about one use: for which purpose, and what amount is at stake. Approvals' conditions judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from governance.errors import InvalidInput
from governance.ethics.terms import MAX_AMOUNT, MAX_NAME, NAME

PURPOSE_HEADER = "X-OpenClaw-Purpose"
AMOUNT_HEADER = "X-OpenClaw-Amount"


@dataclass(frozen=True, slots=True)
class Use:
    """A purpose by its name, and a whole amount; empty and None where the caller says nothing."""

    purpose: str = ""
    amount: int | None = None

    @classmethod
    def parse(cls, purpose: str, amount: str) -> Use:
        """Read the two headers. Raises ValueError that names the faulty one."""
        purpose, amount = purpose.strip(), amount.strip()
        if purpose and (len(purpose) > MAX_NAME or not NAME.fullmatch(purpose)):
            raise ValueError(f"{PURPOSE_HEADER} takes lower-case letters, digits and single hyphens")
        if amount and not (amount.isascii() and amount.isdigit() and len(amount) <= len(str(MAX_AMOUNT))):
            raise ValueError(f"{AMOUNT_HEADER} takes a whole number")
        return cls(purpose, int(amount) if amount else None)

    def context(self) -> dict[str, Any]:
        """The facts of the moment for the decision point; only what was said."""
        said: dict[str, Any] = {"purpose": self.purpose} if self.purpose else {}
        return said if self.amount is None else said | {"amount": self.amount}


UNSAID = Use()


def use_of(request: HttpRequest) -> Use:
    """What a Django request says about the use. Raises InvalidInput."""
    try:
        return Use.parse(request.headers.get(PURPOSE_HEADER, ""), request.headers.get(AMOUNT_HEADER, ""))
    except ValueError as error:
        raise InvalidInput(_("A header cannot be read: %(why)s.") % {"why": str(error)}) from error
