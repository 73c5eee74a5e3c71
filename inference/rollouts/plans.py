"""The plan of a rollout: what a person may ask for, checked once at the start, and then followed as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from governance.errors import InvalidInput
from inference.rollouts.analysis.shapes import DEFAULT_TOLERANCE
from inference.rollouts.analysis.verdicts import Direction, Evidence, Guardrail
from inference.rollouts.analysis.windows import REFERENCE, SHAPES
from inference.rollouts.models import Rollout

Kind = Rollout.Kind

MAX_STEPS = 20
MAX_GUARDRAILS = 10
DAY_S = 24 * 3600
LONGEST_S = 90 * DAY_S
# Differences that so many answers do not show are for a person to weigh.
MAX_SAMPLES = 100_000
# What a guardrail can be about, and which change of it is harm.
METRICS = {
    "error_rate": Direction.INCREASE,
    "refused": Direction.INCREASE,
    "p50": Direction.INCREASE,
    "p90": Direction.INCREASE,
    "p99": Direction.INCREASE,
    "cost": Direction.INCREASE,
    **dict.fromkeys((*SHAPES, REFERENCE), Direction.INCREASE),
    "task_completed": Direction.DECREASE,
    "accuracy": Direction.DECREASE,
    "satisfaction": Direction.DECREASE,
    "reward": Direction.DECREASE,
}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
OF_FEEDBACK = frozenset({"task_completed", "accuracy", "satisfaction", "cost", "reward"})
BASELINES = ("all", "same_size")
# Whether the predictions may differ is for a person to say: nothing waits for it unless they do.
SHAPE_DEFAULTS = {"tolerance": DEFAULT_TOLERANCE, "evidence": Evidence.NONE.value, "min_samples": 200}

DEFAULT_STEPS = (
    {"percent": 5, "min_s": 300, "max_s": DAY_S},
    {"percent": 25, "min_s": 300, "max_s": DAY_S},
    {"percent": 50, "min_s": 300, "max_s": DAY_S},
)
BLUE_GREEN_STEPS = ({"percent": 100, "min_s": 900, "max_s": DAY_S},)
DEFAULT_GUARDRAILS = (
    {"metric": "error_rate", "tolerance": 0.01},
    {"metric": "p99", "tolerance": 0.02},
    {"metric": "p50", "tolerance": 0.2, "evidence": "none"},
    {"metric": "refused", "tolerance": 0.02, "evidence": "none"},
)


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A share of the traffic, held for at least `min_s`; after `max_s` or `max_samples` answers a person is asked."""

    percent: int
    min_s: float
    max_s: float
    max_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked plan. `alpha` is the chance of a wrong roll-back over all steps, guardrails and looks together."""

    steps: tuple[PlanStep, ...]
    guardrails: tuple[Guardrail, ...]
    alpha: float
    baseline: str
    look_every_s: float
    no_traffic_s: float

    @property
    def needs_feedback(self) -> bool:
        return any(guardrail.metric in OF_FEEDBACK for guardrail in self.guardrails)

    @property
    def shapes(self) -> list[str]:
        """The distributions that guardrails are about."""
        return [guardrail.metric for guardrail in self.guardrails if guardrail.metric in SHAPES]

    @property
    def compared(self) -> tuple[Guardrail, ...]:
        """The guardrails that compare the two arms."""
        return tuple(guardrail for guardrail in self.guardrails if guardrail.metric != REFERENCE)

    @property
    def of_reference(self) -> Guardrail | None:
        """The guardrail that compares the candidate with its training data, if there is one."""
        return next((guardrail for guardrail in self.guardrails if guardrail.metric == REFERENCE), None)

    @property
    def waits_for_shapes(self) -> bool:
        """Whether promotion waits for samples of a distribution."""
        return any(g.metric in SHAPES and g.evidence != Evidence.NONE for g in self.guardrails)

    @property
    def quantiles(self) -> dict[str, float]:
        """The latency quantiles that guardrails are about, by name."""
        names = {guardrail.metric for guardrail in self.guardrails}
        return {name: share for name, share in QUANTILES.items() if name in names}

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "steps": [
                {
                    "percent": step.percent,
                    "min_s": step.min_s,
                    "max_s": step.max_s,
                    "max_samples": step.max_samples,
                }
                for step in self.steps
            ],
            "guardrails": [guardrail.to_json() for guardrail in self.guardrails],
            "alpha": self.alpha,
            "baseline": self.baseline,
            "look_every_s": self.look_every_s,
            "no_traffic_s": self.no_traffic_s,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Plan:
        """The plan of a rollout."""
        return cls(
            steps=tuple(PlanStep(**step) for step in stored["steps"]),
            guardrails=tuple(Guardrail.from_json(guardrail) for guardrail in stored["guardrails"]),
            alpha=stored["alpha"],
            baseline=stored["baseline"],
            look_every_s=stored["look_every_s"],
            no_traffic_s=stored["no_traffic_s"],
        )


def checked_plan(kind: str, given: Mapping[str, Any]) -> Plan:
    """The plan that a person asked for, with defaults for what was not said. Raises InvalidInput with what is wrong.

    Steps of a canary grow from 1 to at most 99 percent: everything comes with the promotion alone. Blue-green has one
    step of 100 percent.
    """
    if unknown := sorted(set(given) - set(Plan.__dataclass_fields__)):
        raise InvalidInput(_("A plan has no “%(name)s”.") % {"name": unknown[0][:64]})
    baseline = given.get("baseline", BASELINES[0])
    if baseline not in BASELINES:
        raise InvalidInput(_("The baseline is one of: %(names)s.") % {"names": ", ".join(BASELINES)})
    return Plan(
        steps=_steps(
            kind, given.get("steps") or (BLUE_GREEN_STEPS if kind == Kind.BLUE_GREEN else DEFAULT_STEPS)
        ),
        guardrails=_guardrails(given.get("guardrails") or DEFAULT_GUARDRAILS),
        alpha=_number(given, "alpha", 0.05, least=0.001, most=0.2),
        baseline=baseline,
        look_every_s=_number(given, "look_every_s", 10.0, least=1.0, most=3600.0),
        no_traffic_s=_number(given, "no_traffic_s", 60.0, least=1.0, most=DAY_S),
    )


def _steps(kind: str, given: Sequence[Mapping[str, Any]]) -> tuple[PlanStep, ...]:
    if not isinstance(given, (list, tuple)) or not 1 <= len(given) <= MAX_STEPS:
        raise InvalidInput(_("A plan has 1 to %(most)d steps.") % {"most": MAX_STEPS})
    steps = []
    for step in given:
        if not isinstance(step, Mapping) or set(step) - set(PlanStep.__dataclass_fields__):
            raise InvalidInput(
                _("A step says “percent”, “min_s”, “max_s” and “max_samples”, and nothing else.")
            )
        percent, samples = step.get("percent"), step.get("max_samples", MAX_SAMPLES)
        if type(percent) is not int:
            raise InvalidInput(_("Shares are whole percents from 0 to 100."))
        if samples is not None and (type(samples) is not int or not 1 <= samples <= 100_000_000):
            raise InvalidInput(_("“%(name)s” is a whole number of at least 1.") % {"name": "max_samples"})
        min_s = _number(step, "min_s", 300.0, least=0.0, most=LONGEST_S)
        max_s = _number(step, "max_s", float(DAY_S), least=max(min_s, 1.0), most=LONGEST_S)
        steps.append(PlanStep(percent, min_s, max_s, samples))
    percents = [step.percent for step in steps]
    if kind == Kind.BLUE_GREEN:
        if percents != [100]:
            raise InvalidInput(_("Blue-green has one step of 100 percent."))
    elif percents != sorted(set(percents)) or not 1 <= percents[0] <= percents[-1] <= 99:
        raise InvalidInput(_("The steps of a canary grow, from 1 to at most 99 percent."))
    return tuple(steps)


def _guardrails(given: Sequence[Mapping[str, Any]]) -> tuple[Guardrail, ...]:
    if not isinstance(given, (list, tuple)) or not 1 <= len(given) <= MAX_GUARDRAILS:
        raise InvalidInput(_("A plan has 1 to %(most)d guardrails.") % {"most": MAX_GUARDRAILS})
    made = []
    for guardrail in given:
        metric = guardrail.get("metric") if isinstance(guardrail, Mapping) else None
        if metric not in METRICS:
            raise InvalidInput(_("A guardrail is about one of: %(names)s.") % {"names": ", ".join(METRICS)})
        for name in ("tolerance", "effect"):
            if guardrail.get(name) is not None:
                _number(guardrail, name, 0.0, least=0.0, most=1e9)
        samples = guardrail.get("min_samples", 100)
        if type(samples) is not int or samples > 100_000_000:
            raise InvalidInput(_("“%(name)s” is a whole number of at least 1.") % {"name": "min_samples"})
        try:
            defaults = SHAPE_DEFAULTS if metric in (*SHAPES, REFERENCE) else {}
            made.append(Guardrail.from_json({**defaults, **guardrail, "direction": METRICS[metric]}))
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                _("The guardrail for “%(name)s” is not possible: %(why)s.")
                % {"name": metric, "why": str(error)[:200]}
            ) from error
    if len({guardrail.metric for guardrail in made}) < len(made):
        raise InvalidInput(_("There are two guardrails of one metric."))
    if all(guardrail.evidence == Evidence.NONE for guardrail in made):
        raise InvalidInput(_("At least one guardrail must be needed for promotion."))
    return tuple(made)


def _number(given: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    value = given.get(name, default)
    if type(value) not in (int, float) or not least <= value <= most:
        raise InvalidInput(
            _("“%(name)s” is a number from %(least)s to %(most)s.")
            % {"name": name, "least": f"{least:g}", "most": f"{most:g}"}
        )
    return float(value)
