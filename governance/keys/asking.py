"""Who asked for what the keys do by themselves: their entries are the system's, so it is said beside it."""

from __future__ import annotations

from governance.tenants.checkpoints import current_cause


def asked_by() -> str:
    """Kind and id of whoever causes what the present code does; empty for the house itself, or where nobody knows."""
    cause = current_cause()
    return f"{cause.kind} {cause.id}" if cause is not None and cause.kind != "system" else ""
