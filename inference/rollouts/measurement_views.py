"""The console's page of an endpoint's measurements, and the trial of another split on its logged traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from governance.errors import InvalidInput
from inference.registry.models import ModelVersion
from inference.rollouts.analysis.quality import Estimate
from inference.rollouts.bandits.offpolicy import PolicyValue
from inference.rollouts.distributions import CLASSES, CONFIDENCE
from inference.rollouts.measurement_charts import accuracy_series, bar_names, histogram_bars
from inference.rollouts.measurements import (
    Share,
    days,
    error_budget,
    histograms,
    quality_by_class,
    quality_by_day,
)
from inference.rollouts.models import Endpoint, Feedback
from inference.rollouts.policy_estimates import ACCURACY, REWARDS, PolicyEstimate, estimate_split
from inference.rollouts.reference_drift import HOURS, MIN_VALUES, endpoint_drift
from inference.rollouts.views import endpoint_of

OBJECTIVES = ("99", "99.5", "99.9", "99.95", "99.99")
DEFAULT_OBJECTIVE = "99.9"
DRIFT_HOURS = ("1", "24", "168")


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One right class, and each version's name and figure on it."""

    name: str
    shares: list[tuple[str, Share | None]]


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One estimator's answer about another split."""

    method: str
    figure: Estimate
    effective_samples: float


@never_cache
@require_safe
def measurements(request: HttpRequest, endpoint_id: Any) -> HttpResponse:
    """Latency, error budget, quality by day and class, and what another split would have earned."""
    found = endpoint_of(request, endpoint_id)
    names = dict(ModelVersion.objects.filter(model_id=found.model_id).values_list("id", "version"))
    asked = request.GET.get("objective", DEFAULT_OBJECTIVE)
    objective = asked if asked in OBJECTIVES else DEFAULT_OBJECTIVE
    latency, daily = histograms(found.id), quality_by_day(found.id)
    by_class, shown_days = quality_by_class(found.id), days()
    context = {
        "endpoint": found,
        "latency": latency,
        "bars": histogram_bars(latency, names),
        "bar_names": bar_names(),
        "latency_key": [(names.get(one.version_id, ""), index % 4, one) for index, one in enumerate(latency)],
        "budget": error_budget(found.id, objective=float(objective) / 100),
        "objective": objective,
        "objectives": OBJECTIVES,
        "days": shown_days,
        "accuracy": accuracy_series(daily, names, shown_days),
        "daily": [(names.get(share.version_id, ""), share) for share in reversed(daily)],
        "class_versions": [names.get(version, str(version)) for version in _versions(by_class)],
        "classes": _class_rows(by_class, names),
        **_drift(request, found),
        **_trial(request, found),
    }
    return render(request, "rollouts/measurements.html", context)


@never_cache
@require_safe
def drift(request: HttpRequest, endpoint_id: Any) -> HttpResponse:
    """The part about drift, which is fetched again."""
    found = endpoint_of(request, endpoint_id)
    return render(request, "rollouts/drift.html", {"endpoint": found, **_drift(request, found)})


def _drift(request: HttpRequest, found: Endpoint) -> dict[str, Any]:
    """Each version against its training reference, what moved most first."""
    asked = request.GET.get("hours", "")
    hours = int(asked) if asked in DRIFT_HOURS else HOURS
    rows = [
        (one, sorted(one.parts, key=lambda part: (-part.enough, -part.excess)))
        for one in endpoint_drift(found, hours=hours)
    ]
    names = {CLASSES: _("predicted classes"), CONFIDENCE: _("confidence of the predictions")}
    return {
        "drift_rows": [
            (one, [(names.get(part.part, part.name), part) for part in parts]) for one, parts in rows
        ],
        "drift_hours": hours,
        "drift_choices": [int(choice) for choice in DRIFT_HOURS],
        "drift_least": MIN_VALUES,
    }


def _versions(shares: list[Share]) -> list[Any]:
    return sorted({share.version_id for share in shares})


def _class_rows(shares: list[Share], names: dict[Any, str]) -> list[ClassRow]:
    found: dict[str, dict[Any, Share]] = {}
    for share in shares:
        found.setdefault(share.part, {})[share.version_id] = share
    versions = [(version, names.get(version, str(version))) for version in _versions(shares)]
    return [
        ClassRow(part, [(name, row.get(version)) for version, name in versions])
        for part, row in found.items()
    ]


def _trial(request: HttpRequest, found: Endpoint) -> dict[str, Any]:
    """The form of another split, and its estimate where one was asked for."""
    arms = [(arm.model_version.version, arm.weight) for arm in found.arms.all()]
    asked = {version: request.GET.get(f"weight-{version}", "") for version, _weight in arms}
    reward = request.GET.get("reward", ACCURACY)
    context: dict[str, Any] = {
        "shares": [(version, asked[version] or weight) for version, weight in arms],
        "reward": reward,
        "rewards": [(kind, _reward_name(kind)) for kind in REWARDS],
    }
    if not any(asked.values()):
        return context
    try:
        weights = {version: int(text or 0) for version, text in asked.items()}
        estimate = estimate_split(found.id, weights=weights, reward=reward)
    except InvalidInput as error:
        return context | {"trial_error": error}
    except ValueError:
        return context | {"trial_error": InvalidInput(_("Shares are whole percents from 0 to 100."))}
    return context | {"estimate": estimate, "estimate_rows": _estimate_rows(estimate)}


def _reward_name(kind: str) -> str:
    return _("accuracy") if kind == ACCURACY else str(dict(Feedback.Kind.choices)[Feedback.Kind(kind)])


def _estimate_rows(estimate: PolicyEstimate) -> list[EstimateRow]:
    titles = {
        "ips": _("Inverse propensity scoring"),
        "snips": _("The same, self-normalised"),
        "doubly robust": _("Doubly robust"),
    }

    def row(value: PolicyValue) -> EstimateRow:
        return EstimateRow(
            titles[value.method], Estimate(value.value, value.interval), value.effective_samples
        )

    return [row(value) for value in estimate.values]
