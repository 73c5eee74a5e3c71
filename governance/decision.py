"""The answer of the policy decision point, as every floor and every error knows it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from governance.principals import Principal
from governance.refs import ObjectRef


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer of the decision point, with the reasons that a person may read in the audit log."""

    allow: bool
    action: str
    reasons: tuple[str, ...]
    principal: Principal
    target: ObjectRef | None = None
    tenant_id: UUID | None = None
    obligations: tuple[str, ...] = ()
    policy_version: str = ""
