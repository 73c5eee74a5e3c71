"""What one look at a rollout came to, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from inference.rollouts.analysis.verdicts import ArmWindow, Judgement


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict, what is to be done about it, and what it rests on. `figures` are kept beside the judgement."""

    verdict: str
    action: str
    reason: str
    judgement: Judgement | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    def evidence(self) -> dict[str, Any]:
        """As it is stored."""
        return {**(self.judgement.to_json() if self.judgement is not None else {}), **self.figures}


def arm_figures(*arms: ArmWindow) -> dict[str, Any]:
    """What was counted of the stable version and the candidate."""
    return {"arms": [{"requests": arm.requests, "errors": arm.errors, "answered": arm.timed} for arm in arms]}
