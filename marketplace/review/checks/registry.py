"""All checks, in the order in which a person reads them."""

from __future__ import annotations

from marketplace.review.checks.base import Check

CHECKS: tuple[Check, ...] = ()


def get_check(name: str) -> Check:
    """Return the check called `name`; raise KeyError if there is none."""
    return {check.name: check for check in CHECKS}[name]
