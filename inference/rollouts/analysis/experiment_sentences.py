"""The sentences of an experiment's judgement, made from its stored figures in the language of whoever reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from inference.rollouts.analysis.evidence import Check
    from inference.rollouts.analysis.experiment_evidence import ArmResult, ExperimentJudgement, Rival, Stop
    from inference.rollouts.analysis.intervals import Interval


def definition(judged: ExperimentJudgement) -> str:
    """What is measured, which change of it is wanted, and from which size on it matters."""
    name = metric_name(judged.metric)
    text = (
        _("%(what)s: less is better, and a difference of %(effect)s matters.")
        if judged.direction == "increase"
        else _("%(what)s: more is better, and a difference of %(effect)s matters.")
    )
    return text % {"what": name[:1].upper() + name[1:], "effect": difference(judged.effect, judged.kind)}


def reason(judged: ExperimentJudgement) -> str:
    """What was concluded and why."""
    sentence = {
        "mismatch": _mismatch,
        "all_stopped": lambda _judged: _("No treatment is left, so the control keeps the traffic."),
        "stop_arms": lambda _judged: _("A treatment is stopped, and its share goes to the control."),
        "winner": _winner,
        "tie": _tie,
        "no_winner": _no_winner,
        "go_on": _go_on,
    }[judged.ending.value](judged)
    stops = [] if judged.ending == "mismatch" else [stop(v, why) for v, why in judged.stopped.items()]
    return " ".join([sentence, *stops])


def standing(arm: ArmResult, judged: ExperimentJudgement) -> str:
    """What was found of one treatment, in one sentence."""
    values = {"effect": difference(judged.effect, judged.kind)}
    return {
        "control": lambda: _("What every treatment is held against."),
        "better": lambda: _("Shown better than the control."),
        "worse": lambda: _("Shown worse than the control."),
        "stuck": lambda: _("An improvement by %(effect)s or more is ruled out.") % values,
        "too_few": lambda: _("Too few samples yet."),
        "open": lambda: _("Not decided yet."),
    }[arm.standing.value]()


def rival(found: Rival, judged: ExperimentJudgement) -> str:
    """How the leader stands against another treatment."""
    values = {
        "leader": judged.leader,
        "rival": found.version,
        "between": between(found.interval, judged.kind),
    }
    if found.beaten:
        return _("%(leader)s is shown better than %(rival)s (%(between)s).") % values
    if found.ahead:
        return _("%(rival)s is shown better than %(leader)s (%(between)s).") % values
    if found.matched:
        return _("%(rival)s is not better than %(leader)s by anything that matters (%(between)s).") % values
    return _("%(leader)s and %(rival)s cannot be told apart yet (%(between)s).") % values


def stop(version: str, why: Stop) -> str:
    """Why a treatment gets nothing any more."""
    values = {"version": version, "metric": metric_name(why.metric)}
    return {
        "harm": lambda: _("Version %(version)s is stopped: it does harm (%(metric)s)."),
        "worse": lambda: _(
            "Version %(version)s is stopped: it is shown worse than the control (%(metric)s)."
        ),
        "not_ready": lambda: _("Version %(version)s is stopped: it may not answer."),
        "no_approval": lambda: _("Version %(version)s is stopped: it has no valid approval."),
        "silent": lambda: _("Version %(version)s is stopped: it answers nothing and cannot be loaded."),
        "by_hand": lambda: _("Version %(version)s is stopped by hand."),
    }[why.why]() % values


def guardrail(check: Check) -> tuple[str, str]:
    """What a guardrail of a treatment is about, and what it found."""
    kind = "mean" if check.kind == "mean" else "rate"
    name = metric_name(check.name)
    bound = (
        _("%(what)s. Harm is an increase by more than %(tolerance)s.")
        if check.direction == "increase"
        else _("%(what)s. Harm is a decrease by more than %(tolerance)s.")
    ) % {"what": name[:1].upper() + name[1:], "tolerance": difference(check.tolerance, kind)}
    values = {
        "control": value(check.stable, kind),
        "value": value(check.canary, kind),
        "between": between(check.interval, kind),
    }
    found = {
        "harm": lambda: _("Harm: %(control)s of the control, %(value)s of this version."),
        "no_harm": lambda: _("No harm: %(control)s of the control, %(value)s of this version."),
        "too_few": lambda: _("Too few samples yet."),
        "waiting": lambda: _("Looked at once, when the experiment is over."),
    }.get(
        check.outcome.value,
        lambda: _("Not decided yet: %(control)s of the control, %(value)s of this version."),
    )() % values
    if check.interval is not None and check.outcome.value != "too_few":
        found += " " + _("The difference lies in %(between)s.") % values
    return bound, found


def metric_name(metric: str) -> str:
    """The metric in words."""
    return {
        "error_rate": lambda: _("share of requests that failed"),
        "refused": lambda: _("share of refused requests"),
        "p50": lambda: _("share of answers slower than the control's p50 before"),
        "p90": lambda: _("share of answers slower than the control's p90 before"),
        "p99": lambda: _("share of answers slower than the control's p99 before"),
        "cost": lambda: _("mean cost"),
        "task_completed": lambda: _("share of completed tasks"),
        "accuracy": lambda: _("accuracy"),
        "satisfaction": lambda: _("mean satisfaction"),
        "reward": lambda: _("mean reward"),
    }.get(metric, lambda: metric)()


def value(number: float | None, kind: str) -> str:
    """A value of the metric."""
    if number is None:
        return "–"
    return f"{number:.4g}" if kind == "mean" else f"{100 * number:.3g} %"


def difference(number: float | None, kind: str, *, signed: bool = False) -> str:
    """A difference of two values."""
    if number is None:
        return "–"
    sign = "+" if signed else ""
    if kind == "mean":
        return f"{number:{sign}.4g}"
    return _("%(points)s percentage points") % {"points": f"{100 * number:{sign}.3g}"}


def between(interval: Interval | None, kind: str) -> str:
    """An interval of a difference."""
    if interval is None:
        return "–"
    if kind == "mean":
        return f"{interval.low:+.4g} … {interval.high:+.4g}"
    return _("%(points)s percentage points") % {
        "points": f"{100 * interval.low:+.3g} … {100 * interval.high:+.3g}"
    }


def short_difference(number: float | None, kind: str) -> str:
    """A difference for a table."""
    if number is None or kind == "mean":
        return difference(number, kind, signed=True)
    return _("%(points)s pp") % {"points": f"{100 * number:+.3g}"}


def short_interval(interval: Interval | None, kind: str) -> str:
    """An interval of a difference for a table."""
    if interval is None or kind == "mean":
        return between(interval, kind)
    return _("%(points)s pp") % {"points": f"{100 * interval.low:+.3g} … {100 * interval.high:+.3g}"}


def _mismatch(judged: ExperimentJudgement) -> str:
    assert judged.drawn is not None
    counts = judged.drawn.counts
    told = ", ".join(
        _("%(version)s %(count)d instead of %(expected).0f")
        % {"version": version, "count": count, "expected": judged.drawn.expected[version]}
        for version, count in counts.items()
    )
    return _(
        "The arms did not get the requests that their shares promise (%(told)s; p = %(p)s). Something beside the "
        "draw decides which answers are counted, so nothing that was measured here can be relied on: the experiment "
        "ends without a result. Find the cause before the next one."
    ) % {"told": told, "p": f"{judged.drawn.p_value:.2g}"}


def _winner(judged: ExperimentJudgement) -> str:
    arm = judged.arm(judged.leader)
    won = _(
        "%(version)s wins: %(value)s against %(of)s of the control; the difference lies in %(between)s "
        "(%(confidence)s %%, all treatments and looks together)."
    ) % {
        "version": arm.version,
        "value": value(arm.value, judged.kind),
        "of": value(judged.arms[0].value, judged.kind),
        "between": between(arm.interval, judged.kind),
        "confidence": f"{100 * (1 - judged.alpha):.4g}",
    }
    return " ".join([won, *(rival(found, judged) for found in judged.rivals)])


def _tie(judged: ExperimentJudgement) -> str:
    leader = judged.arm(judged.leader)
    uncleared = [check.name for check in leader.checks if check.required and check.outcome.value != "no_harm"]
    if uncleared:
        return _(
            "%(version)s is shown better than the control, but the evidence does not rule harm out: %(metrics)s."
        ) % {"version": leader.version, "metrics": ", ".join(metric_name(name) for name in uncleared)}
    told = _("Treatments are shown better than the control, but which one is best is not shown.")
    return " ".join([told, *(rival(found, judged) for found in judged.rivals)])


def _no_winner(judged: ExperimentJudgement) -> str:
    if judged.over:
        return _("The experiment is over, and no treatment is shown better than the control.")
    return _(
        "No treatment can be better than the control by %(effect)s or more; to go on would show nothing that matters."
    ) % {"effect": difference(judged.effect, judged.kind)}


def _go_on(judged: ExperimentJudgement) -> str:
    if judged.leader:
        told = _("%(version)s is shown better than the control.") % {"version": judged.leader}
        return " ".join([told, *(rival(found, judged) for found in judged.rivals), _("More evidence comes.")])
    return _("No treatment is shown better than the control yet; more evidence comes.")
