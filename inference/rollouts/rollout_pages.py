"""Rollouts as pages show them: the steps, the present judgement in words, and the ribbon of the split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from inference.registry.models import ModelVersion
from inference.rollouts.analysis.evidence import Check, Judgement
from inference.rollouts.analysis.quality import Estimate
from inference.rollouts.charts import Band, ribbon
from inference.rollouts.experiment_pages import experiment_context
from inference.rollouts.measurement_charts import posteriors
from inference.rollouts.models import Endpoint, Feedback, Rollout, RolloutLook, SplitChange
from inference.rollouts.plans import Plan
from inference.rollouts.version_quality import VersionQuality, version_quality

QUALITY_WINDOW = timedelta(days=7)
BADGES = {"harm": "bad", "no_harm": "good", "undecided": "warn", "too_few": "", "waiting": ""}
STATE_BADGES = {
    "running": "info busy",
    "holding": "warn",
    "promoted": "good",
    "rolled_back": "bad",
    "cancelled": "",
}


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of the plan and whether it is over, under way or still to come."""

    number: int
    percent: int
    min_s: float
    state: str


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A guardrail's check with the colour of what it found."""

    check: Check
    badge: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """The mean of a reward or an event, by its name in the reader's language."""

    label: str
    mean: Estimate


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One version with what came back about it."""

    version: str
    figures: VersionQuality
    events: list[EventRow]


def rollout_context(rollout: Rollout) -> dict[str, Any]:
    """Everything that changes on the page of one rollout."""
    look = rollout.evidence.first()
    return {
        "rollout": rollout,
        "badge": STATE_BADGES[rollout.state],
        "steps": _steps(rollout),
        "look": look,
        "bands": _bands(rollout),
        "key": list(_colours(rollout).items()),
        **look_context(look),
        **experiment_context(rollout, look),
    }


def look_context(look: RolloutLook | None) -> dict[str, Any]:
    """The judgement of a look, in the reader's language."""
    if look is None or "checks" not in look.judgement:
        bandit = look.judgement.get("bandit", {}) if look is not None else {}
        return {
            "checks": [],
            "why": look.reason if look is not None else "",
            "posteriors": posteriors(bandit),
        }
    judgement = Judgement.from_json(look.judgement)
    return {
        "checks": [CheckRow(check, BADGES[check.outcome]) for check in judgement.checks],
        # A step that could not be taken says more than the judgement does.
        "why": look.reason if look.action == look.Action.ASK else judgement.explanation,
    }


def quality_rows(endpoint: Endpoint) -> list[QualityRow]:
    """What came back about the endpoint's versions lately, newest version first; nothing where nothing came back."""
    found = version_quality(endpoint.id, window=QUALITY_WINDOW)
    if not found:
        return []
    names = dict(ModelVersion.objects.filter(model_id=endpoint.model_id).values_list("id", "version"))
    labels = dict(Feedback.Kind.choices)
    return [
        QualityRow(
            version=names.get(figures.version_id, str(figures.version_id)),
            figures=figures,
            events=[EventRow(str(labels[event.kind]), event.mean) for event in figures.events],
        )
        for figures in reversed(found)
    ]


def last_rollout(endpoint: Endpoint) -> Rollout | None:
    """The endpoint's open rollout, or the one that ended last."""
    return endpoint.rollouts.select_related("stable", "candidate", "endpoint").order_by("-id").first()


def _steps(rollout: Rollout) -> list[StepRow]:
    rows: list[StepRow] = []
    if rollout.kind in (Rollout.Kind.BANDIT, Rollout.Kind.EXPERIMENT):
        return rows
    for index, step in enumerate(Plan.from_json(rollout.plan).steps):
        done = index < rollout.step or rollout.state == Rollout.State.PROMOTED
        state = "done" if done else "now" if index == rollout.step else "next"
        rows.append(StepRow(index + 1, step.percent, step.min_s, state))
    return rows


def _colours(rollout: Rollout) -> dict[str, int]:
    names = dict.fromkeys([*rollout.versions, *sorted(rollout.before)])
    return {name: index % 4 for index, name in enumerate(names)}


def _bands(rollout: Rollout) -> list[Band]:
    changes = SplitChange.objects.filter(rollout=rollout).order_by("id").values_list("at", "after")
    colours = _colours(rollout)
    ordered = [
        (
            at,
            {name: after[name] for name in colours if name in after}
            | {n: w for n, w in after.items() if n not in colours},
        )
        for at, after in changes
    ]
    return ribbon(ordered, until=rollout.ended_at or timezone.now(), colours=colours)
