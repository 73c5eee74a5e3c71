"""The answer of the policy decision point, as every floor and every error knows it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from governance.principals import Principal
from governance.refs import ObjectRef


@dataclass(frozen=True, slots=True)
class StepUp:
    """What would turn a refusal into a yes: an assurance level, proven at most `max_age_s` seconds ago (0: any age)."""

    level: int
    max_age_s: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer of the decision point, with the reasons that a person may read.

    `rules` names what decided: a role, a grant, the ids of policies. `helps` says what is missing and who can help.
    `obligations` are duties that come with a yes, which the asking service must fulfil; `valid_until` (seconds since
    the epoch) is how long the answer may be kept at most while nothing changes.
    """

    allow: bool
    action: str
    reasons: tuple[str, ...]
    principal: Principal
    target: ObjectRef | None = None
    tenant_id: UUID | None = None
    obligations: tuple[str, ...] = ()
    policy_version: str = ""
    rules: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    step_up: StepUp | None = None
    valid_until: float = float("inf")
