"""Experiments as pages show them: a table of the arms, the plan in words, and the size before the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference.rollouts.analysis import experiment_sentences as say
from inference.rollouts.analysis.evidence import Check
from inference.rollouts.analysis.experiment_evidence import ArmResult, ExperimentJudgement, Standing
from inference.rollouts.experiment_plans import MEANS, PROMOTE, ExperimentPlan
from inference.rollouts.experiment_sizing import Sizing
from inference.rollouts.models import Rollout, RolloutLook

BADGES = {
    Standing.BETTER: "good",
    Standing.WORSE: "bad",
    Standing.STUCK: "warn",
    Standing.OPEN: "",
    Standing.TOO_FEW: "",
    Standing.CONTROL: "info",
}
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class ArmLine:
    """One arm in the reader's language."""

    version: str
    requests: int
    samples: int
    errors: int
    value: str
    difference: str
    interval: str
    p_value: str
    badge: str
    standing: str
    stop: str
    stopped: bool
    may_stop: bool
    checks: tuple[tuple[Check, str, str], ...]


@dataclass(frozen=True, slots=True)
class NeedLine:
    """What one treatment needs, in words."""

    version: str
    share: int
    samples: int
    requests: int
    duration: str


def experiment_context(rollout: Rollout, look: RolloutLook | None) -> dict[str, Any]:
    """The table of a look at an experiment, and its plan; nothing for other rollouts."""
    if rollout.kind != Rollout.Kind.EXPERIMENT:
        return {}
    plan = ExperimentPlan.from_json(rollout.plan)
    stored = look.judgement.get("experiment") if look is not None else None
    judged = ExperimentJudgement.from_json(stored) if stored else None
    context: dict[str, Any] = {"experiment_plan": plan_lines(plan)}
    if judged is not None and look is not None:
        context |= {
            "experiment": judged,
            "experiment_arms": [_line(arm, judged, rollout) for arm in judged.arms],
            "experiment_confidence": f"{100 * (1 - judged.alpha):.4g} %",
            "experiment_level": f"{judged.level:.2g}",
            "experiment_drawn": _drawn(judged),
            # A step that could not be taken says more than the judgement does.
            "why": look.reason if look.action == look.Action.ASK else judged.explanation,
        }
    return context


def plan_lines(plan: ExperimentPlan) -> list[tuple[str, str]]:
    """The plan as pairs of a name and a value."""
    kind = "mean" if plan.metric in MEANS else "rate"
    lines = [
        (_("Shares"), ", ".join(f"{version} {share} %" for version, share in plan.shares.items())),
        (_("Metric"), say.metric_name(plan.metric)),
        (_("Smallest difference that matters"), say.difference(plan.effect, kind)),
        (_("Chance of a false winner"), f"{100 * plan.alpha:.3g} %"),
        (_("Lasts"), f"{duration(plan.min_s)} – {duration(plan.max_s)}"),
    ]
    if plan.max_samples is not None:
        lines.append((_("Most requests of each version"), f"{plan.max_samples:,}"))
    if plan.guardrails:
        names = ", ".join(say.metric_name(guardrail.metric) for guardrail in plan.guardrails)
        lines.append((_("Guardrails"), names))
    end = _("the winner is promoted") if plan.end == PROMOTE else _("a person is asked")
    return [*lines, (_("In the end"), end)]


def sizing_rows(size: Sizing) -> list[NeedLine]:
    """What each treatment needs."""
    return [
        NeedLine(
            arm.version,
            arm.share,
            arm.samples,
            arm.requests,
            duration(arm.duration_s) if arm.duration_s is not None else "–",
        )
        for arm in size.arms
    ]


def duration(seconds: float) -> str:
    """A length of time in one unit, rounded up to a half of it where it is short."""
    if seconds < MINUTE_S:
        return _("less than a minute") if seconds else _("0 minutes")
    for unit_s, name in (
        (DAY_S, lambda n: ngettext("%(n)s day", "%(n)s days", 1 if n == "1" else 2) % {"n": n}),
        (HOUR_S, lambda n: ngettext("%(n)s hour", "%(n)s hours", 1 if n == "1" else 2) % {"n": n}),
        (MINUTE_S, lambda n: ngettext("%(n)s minute", "%(n)s minutes", 1 if n == "1" else 2) % {"n": n}),
    ):
        if seconds >= unit_s:
            return name(f"{seconds / unit_s:.3g}")
    raise AssertionError("unreachable: a minute is left")


def _line(arm: ArmResult, judged: ExperimentJudgement, rollout: Rollout) -> ArmLine:
    treatment = arm.standing != Standing.CONTROL
    return ArmLine(
        version=arm.version,
        requests=arm.requests,
        samples=arm.samples,
        errors=arm.errors,
        value=say.value(arm.value, judged.kind),
        difference=say.short_difference(arm.difference, judged.kind) if treatment else "",
        interval=say.short_interval(arm.interval, judged.kind) if treatment else "",
        p_value=_p(arm.p_value),
        badge="bad" if arm.stop is not None else BADGES[arm.standing],
        standing=say.standing(arm, judged),
        stop=say.stop(arm.version, arm.stop) if arm.stop is not None else "",
        stopped=arm.stop is not None,
        may_stop=treatment and arm.stop is None and rollout.state == Rollout.State.RUNNING,
        checks=tuple((check, *say.guardrail(check)) for check in arm.checks),
    )


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _drawn(judged: ExperimentJudgement) -> str:
    if judged.drawn is None:
        return ""
    p = _p(judged.drawn.p_value)
    if judged.drawn.found:
        return _("The arms did not get the requests that their shares promise (p = %(p)s).") % {"p": p}
    return _(
        "The arms got the requests that their shares promise (p = %(p)s; below %(level)s it would end)."
    ) % {
        "p": p,
        "level": f"{judged.drawn.alpha:g}",
    }
