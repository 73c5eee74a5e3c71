"""A judgement and the checks it rests on, as they are stored: frozen, to JSON and back without loss.

Figures are stored, sentences are made when somebody reads (`explanations`), so that each reads in their language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

from inference.rollouts.analysis import explanations
from inference.rollouts.analysis.intervals import Interval


class Verdict(StrEnum):
    """What is to be done with the canary."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"
    INCONCLUSIVE = "inconclusive"


class Outcome(StrEnum):
    """What one check found."""

    HARM = "harm"
    NO_HARM = "no_harm"
    UNDECIDED = "undecided"
    TOO_FEW = "too_few"
    WAITING = "waiting"


class Method(StrEnum):
    """Whether one may look again and again, or once, or whether there is no test in it at all."""

    ALWAYS_VALID = "always-valid"
    FIXED_HORIZON = "fixed-horizon"
    THRESHOLD = "threshold"


@dataclass(frozen=True, slots=True)
class Check:
    """One metric of the canary against the stable arm.

    `interval` is of canary − stable at level `confidence`; `p_value` is for “no harm beyond the tolerance”, to be
    held against `alpha`, this check's part of the whole level. `direction` says which change harms, `required` whether
    promotion waits for this check. `part` names what moved most, where a check is of many features.
    """

    name: str
    kind: str
    direction: str
    tolerance: float
    stable: float | None
    canary: float | None
    stable_samples: int
    canary_samples: int
    min_samples: int
    interval: Interval | None
    p_value: float | None
    alpha: float
    method: Method
    outcome: Outcome
    required: bool
    confidence: float | None = None
    part: str = ""

    @property
    def definition(self) -> str:
        """What is measured and what would be harm, in the reader's language."""
        return explanations.definition(self)

    @property
    def explanation(self) -> str:
        """What was found and what it means, in the reader's language."""
        return explanations.explanation(self)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON without NaN or infinity."""
        interval = [self.interval.low, self.interval.high] if self.interval else None
        return {
            **asdict(self),
            "interval": interval,
            "method": self.method.value,
            "outcome": self.outcome.value,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The check as it was stored. Raises KeyError or ValueError for what never was one."""
        values = {field.name: stored[field.name] for field in fields(cls) if field.name != "part"}
        values["part"] = stored.get("part", "")  # written since checks of many features exist
        values["interval"] = Interval(*values["interval"]) if values["interval"] is not None else None
        return cls(**{**values, "method": Method(values["method"]), "outcome": Outcome(values["outcome"])})


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and all that it rests on."""

    verdict: Verdict
    checks: tuple[Check, ...]

    @property
    def explanation(self) -> str:
        """Why this verdict, in the reader's language."""
        return explanations.reason(self)

    def check(self, name: str) -> Check | None:
        """The check of that name."""
        return next((check for check in self.checks if check.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, to be stored as evidence."""
        return {"verdict": self.verdict.value, "checks": [check.to_json() for check in self.checks]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The judgement as it was stored."""
        checks = tuple(Check.from_json(check) for check in stored["checks"])
        return cls(Verdict(stored["verdict"]), checks)
