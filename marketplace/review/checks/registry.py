"""All checks, in the order in which a person reads them."""

from __future__ import annotations

from marketplace.review.checks import (
    archive_safety,
    artifact_format,
    licence,
    manifest_schema,
    model_card,
    model_dry_run,
    secrets,
    skill_definition,
)
from marketplace.review.checks.base import Check

CHECKS: tuple[Check, ...] = (
    archive_safety.CHECK,
    manifest_schema.CHECK,
    model_card.CHECK,
    artifact_format.CHECK,
    secrets.CHECK,
    licence.CHECK,
    skill_definition.CHECK,
    model_dry_run.CHECK,
)
_BY_NAME = {check.name: check for check in CHECKS}


def get_check(name: str) -> Check:
    """Return the check called `name`; raise KeyError if there is none."""
    return _BY_NAME[name]
