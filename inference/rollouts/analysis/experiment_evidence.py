"""A judgement of an experiment as it is stored: frozen, to JSON and back without loss; figures only, no sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from inference.rollouts.analysis import experiment_sentences
from inference.rollouts.analysis.evidence import Check
from inference.rollouts.analysis.intervals import Interval
from inference.rollouts.analysis.mismatch import Mismatch


class Standing(StrEnum):
    """Where a treatment stands against the control. `STUCK`: an improvement that matters is ruled out."""

    BETTER = "better"
    WORSE = "worse"
    STUCK = "stuck"
    OPEN = "open"
    TOO_FEW = "too_few"
    CONTROL = "control"


class Ending(StrEnum):
    """What a look came to."""

    GO_ON = "go_on"
    STOP_ARMS = "stop_arms"
    WINNER = "winner"
    TIE = "tie"
    NO_WINNER = "no_winner"
    ALL_STOPPED = "all_stopped"
    MISMATCH = "mismatch"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a treatment gets nothing any more: `harm` (by the guardrail `metric`), `worse`, or what bars it."""

    why: str
    metric: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm: its metric, and for a treatment the difference to the control with its simultaneous interval."""

    version: str
    requests: int
    errors: int
    samples: int
    value: float | None
    standing: Standing
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    stop: Stop | None = None
    checks: tuple[Check, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {
            "standing": self.standing.value,
            "interval": _pair(self.interval),
            "checks": [check.to_json() for check in self.checks],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """As it was stored."""
        values = dict(stored) | {
            "standing": Standing(stored["standing"]),
            "interval": Interval(*stored["interval"]) if stored["interval"] else None,
            "stop": Stop(**stored["stop"]) if stored["stop"] else None,
            "checks": tuple(Check.from_json(check) for check in stored["checks"]),
        }
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Rival:
    """Another treatment against the leader: leader − rival, its interval at the level of the pairs, and how it fared.

    `beaten`: shown worse than the leader. `matched`: any lead that matters over the leader is ruled out.
    """

    version: str
    difference: float | None
    interval: Interval | None
    beaten: bool
    matched: bool
    ahead: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"interval": _pair(self.interval)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """As it was stored."""
        return cls(**{**stored, "interval": Interval(*stored["interval"]) if stored["interval"] else None})


@dataclass(frozen=True, slots=True)
class ExperimentJudgement:
    """Everything that one look came to and rests on; the control is the first arm."""

    ending: Ending
    metric: str
    kind: str
    direction: str
    effect: float
    alpha: float
    level: float
    over: bool
    arms: tuple[ArmResult, ...]
    leader: str = ""
    rivals: tuple[Rival, ...] = ()
    drawn: Mismatch | None = None

    @property
    def explanation(self) -> str:
        """What was concluded and why, in the reader's language."""
        return experiment_sentences.reason(self)

    @property
    def definition(self) -> str:
        """What is measured and which difference matters, in the reader's language."""
        return experiment_sentences.definition(self)

    def arm(self, version: str) -> ArmResult:
        """The arm of that version."""
        return next(arm for arm in self.arms if arm.version == version)

    @property
    def stopped(self) -> dict[str, Stop]:
        """The treatments that get nothing, and why."""
        return {arm.version: arm.stop for arm in self.arms if arm.stop is not None}

    def to_json(self) -> dict[str, Any]:
        """Figures only; the sentences are made when somebody reads."""
        return {
            "ending": self.ending.value,
            "metric": self.metric,
            "kind": self.kind,
            "direction": self.direction,
            "effect": self.effect,
            "alpha": self.alpha,
            "level": self.level,
            "over": self.over,
            "arms": [arm.to_json() for arm in self.arms],
            "leader": self.leader,
            "rivals": [rival.to_json() for rival in self.rivals],
            "drawn": self.drawn.to_json() if self.drawn is not None else None,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """As it was stored."""
        return cls(
            **{
                **stored,
                "ending": Ending(stored["ending"]),
                "arms": tuple(ArmResult.from_json(arm) for arm in stored["arms"]),
                "rivals": tuple(Rival.from_json(rival) for rival in stored["rivals"]),
                "drawn": Mismatch.from_json(stored["drawn"]) if stored["drawn"] else None,
            }
        )


def _pair(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval is not None else None
