"""The plan of an experiment: what a person may ask for, checked once at the start, and then followed as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from governance.errors import InvalidInput
from inference.rollouts.analysis.experiments import Terms
from inference.rollouts.analysis.verdicts import Guardrail
from inference.rollouts.models import Rollout
from inference.rollouts.plans import DAY_S, LONGEST_S, METRICS, OF_FEEDBACK, QUANTILES, checked_plan

# What an outcome or its feedback says of each request; these can be compared between arms.
COMPARED = (
    "error_rate",
    "refused",
    "p50",
    "p90",
    "p99",
    "accuracy",
    "task_completed",
    "satisfaction",
    "cost",
    "reward",
)
MEANS = frozenset({"satisfaction", "cost", "reward"})
MOST_TREATMENTS = 9
PROMOTE, ASK = "promote", "ask"
ENDS = (ASK, PROMOTE)
DEFAULT_GUARDRAILS = (
    {"metric": "error_rate", "tolerance": 0.01},
    {"metric": "p99", "tolerance": 0.02, "evidence": "none"},
)


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """What the controller goes by. `shares` are whole percents by version, the control first.

    `effect` is the smallest difference of the metric that matters, in its unit (0.01 is one percentage point of a
    rate). `alpha` is the chance of a false winner over all treatments and looks; `power`, for planning alone, the one
    to find an effect of that size. It lasts `min_s` to `max_s`, or until every arm has answered `max_samples`.
    `end` says what becomes of a result: the winner is promoted, or a person is asked.
    """

    shares: Mapping[str, int]
    metric: str
    effect: float
    guardrails: tuple[Guardrail, ...]
    alpha: float = 0.05
    power: float = 0.8
    min_samples: int = 100
    min_s: float = 3600.0
    max_s: float = 14.0 * DAY_S
    max_samples: int | None = None
    end: str = ASK
    look_every_s: float = 10.0
    no_traffic_s: float = 60.0

    @property
    def control(self) -> str:
        return next(iter(self.shares))

    @property
    def treatments(self) -> list[str]:
        return list(self.shares)[1:]

    @property
    def level(self) -> float:
        """Of one comparison with the control."""
        return self.alpha / len(self.treatments)

    @property
    def terms(self) -> Terms:
        """What the judgement goes by."""
        return Terms(
            self.metric, METRICS[self.metric], self.effect, self.alpha, self.min_samples, self.guardrails
        )

    @property
    def metrics(self) -> set[str]:
        """Everything that is looked at."""
        return {self.metric, *(guardrail.metric for guardrail in self.guardrails)}

    @property
    def needs_feedback(self) -> bool:
        return bool(self.metrics & OF_FEEDBACK)

    @property
    def quantiles(self) -> dict[str, float]:
        """The latency quantiles that it is about, by name."""
        return {name: share for name, share in QUANTILES.items() if name in self.metrics}

    def to_json(self) -> dict[str, Any]:
        """As it is stored; PostgreSQL keeps no order of keys, so the versions are listed as well."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "shares": dict(self.shares),
            "versions": list(self.shares),
            "guardrails": [guardrail.to_json() for guardrail in self.guardrails],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ExperimentPlan:
        """The plan of a rollout."""
        return cls(
            **{
                **{name: stored[name] for name in cls.__dataclass_fields__},
                "shares": {version: stored["shares"][version] for version in stored["versions"]},
                "guardrails": tuple(Guardrail.from_json(guardrail) for guardrail in stored["guardrails"]),
            }
        )


def checked_experiment(control: str, given: Mapping[str, Any]) -> ExperimentPlan:
    """The plan that a person asked for, with defaults for what was not said. Raises InvalidInput with what is wrong.

    `shares` may be left out for `treatments`: then all arms get the same, and the control what is left over.
    """
    allowed = {*ExperimentPlan.__dataclass_fields__, "treatments"}
    if unknown := sorted(set(given) - allowed):
        raise InvalidInput(_("A plan has no “%(name)s”.") % {"name": unknown[0][:64]})
    metric, end = given.get("metric", "error_rate"), given.get("end", ASK)
    if metric not in COMPARED:
        raise InvalidInput(_("An experiment is about one of: %(names)s.") % {"names": ", ".join(COMPARED)})
    if end not in ENDS:
        raise InvalidInput(_("An experiment ends in one of: %(names)s.") % {"names": ", ".join(ENDS)})
    if given.get("effect") is None:
        raise InvalidInput(_("Say which difference matters: “effect”, in the metric's unit."))
    most_effect = 1e9 if metric in MEANS else 0.9
    samples = given.get("max_samples")
    longest = longest_s()
    min_s = number(given, "min_s", 3600.0, least=0.0, most=longest)
    default_s = max(14.0 * DAY_S, min_s)
    return ExperimentPlan(
        shares=_shares(control, given),
        metric=metric,
        effect=number(given, "effect", 0.0, least=1e-6, most=most_effect),
        guardrails=_guardrails(given.get("guardrails")),
        alpha=number(given, "alpha", 0.05, least=0.001, most=0.2),
        power=number(given, "power", 0.8, least=0.5, most=0.99),
        min_samples=_whole(given, "min_samples", 100, least=30),
        min_s=min_s,
        max_s=number(given, "max_s", min(default_s, longest), least=max(min_s, 1.0), most=longest),
        max_samples=None if samples is None else _whole(given, "max_samples", 0, least=30),
        end=end,
        look_every_s=number(given, "look_every_s", 10.0, least=1.0, most=3600.0),
        no_traffic_s=number(given, "no_traffic_s", 60.0, least=1.0, most=DAY_S),
    )


def longest_s() -> float:
    """The longest time of an experiment: its records must not be dropped while it lasts."""
    return min(float(LONGEST_S), float(DAY_S) * settings.OUTCOME_RETENTION_DAYS)


def _shares(control: str, given: Mapping[str, Any]) -> dict[str, int]:
    shares, treatments = given.get("shares"), given.get("treatments")
    if (shares is None) == (treatments is None):
        raise InvalidInput(_("Say either “shares” or “treatments”."))
    if treatments is not None:
        if not isinstance(treatments, Sequence) or isinstance(treatments, str):
            raise InvalidInput(_("“treatments” is a list of versions."))
        others = list(dict.fromkeys(str(version) for version in treatments if version != control))
        each = 100 // (len(others) + 1)
        shares = {control: 100 - each * len(others)} | dict.fromkeys(others, each)
    if not isinstance(shares, Mapping) or control not in shares:
        raise InvalidInput(
            _("The shares name the control, version %(version)s, and the treatments.") % {"version": control}
        )
    if not all(isinstance(v, str) and type(share) is int and 1 <= share <= 99 for v, share in shares.items()):
        raise InvalidInput(_("Shares of an experiment are whole percents from 1 to 99."))
    if not 2 <= len(shares) <= MOST_TREATMENTS + 1:
        raise InvalidInput(_("An experiment has 1 to %(most)d treatments.") % {"most": MOST_TREATMENTS})
    if sum(shares.values()) != 100:
        raise InvalidInput(
            _("The shares sum to %(sum)d percent; they must sum to 100.") % {"sum": sum(shares.values())}
        )
    return {control: shares[control]} | {v: share for v, share in shares.items() if v != control}


def _guardrails(given: Any) -> tuple[Guardrail, ...]:
    """As a canary's; without any (an empty list) nothing but the metric itself stops an arm."""
    if given is None:
        given = DEFAULT_GUARDRAILS
    if isinstance(given, (list, tuple)) and not given:
        return ()
    found = checked_plan(Rollout.Kind.CANARY, {"guardrails": given}).guardrails
    if other := [guardrail.metric for guardrail in found if guardrail.metric not in COMPARED]:
        raise InvalidInput(_("An experiment has no guardrail of “%(name)s”.") % {"name": other[0]})
    return found


def _whole(given: Mapping[str, Any], name: str, default: int, *, least: int) -> int:
    value = given.get(name, default)
    if type(value) is not int or not least <= value <= 100_000_000:
        raise InvalidInput(
            _("“%(name)s” is a whole number of at least %(least)d.") % {"name": name, "least": least}
        )
    return value


def number(given: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """The number called `name`. Raises InvalidInput."""
    value = given.get(name, default)
    if type(value) not in (int, float) or not least <= value <= most:
        raise InvalidInput(
            _("“%(name)s” is a number from %(least)s to %(most)s.")
            % {"name": name, "least": f"{least:g}", "most": f"{most:g}"}
        )
    return float(value)
