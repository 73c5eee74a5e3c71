"""The sentences of a judgement, made from its stored figures in the language of whoever reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from inference.rollouts.analysis.evidence import Check, Judgement


def definition(check: Check) -> str:
    """What the metric is and what would be harm."""
    what = _what(check)
    if check.kind == "drift":
        return _("%(what)s. Harm is a value of %(tolerance)s or more.") % {
            "what": what,
            "tolerance": _number(check.tolerance, check),
        }
    if check.kind in ("shape", "reference"):
        return _(
            "%(what)s. Harm is a difference that the test shows and whose index, less what chance makes of it, exceeds "
            "%(tolerance)s."
        ) % {"what": what, "tolerance": _number(check.tolerance, check)}
    text = (
        _("%(what)s. Harm is an increase by more than %(tolerance)s.")
        if check.direction == "increase"
        else _("%(what)s. Harm is a decrease by more than %(tolerance)s.")
    )
    return text % {"what": what, "tolerance": _difference(check.tolerance, check)}


def explanation(check: Check) -> str:
    """What was found."""
    values = {
        "stable": _number(check.stable, check),
        "canary": _number(check.canary, check),
        "stable_samples": check.stable_samples,
        "canary_samples": check.canary_samples,
        "needed": check.min_samples,
        "tolerance": _difference(check.tolerance, check),
        "low": _difference(check.interval.low, check, signed=True) if check.interval else "–",
        "high": _difference(check.interval.high, check, signed=True) if check.interval else "–",
        "confidence": f"{100 * check.confidence:.4g} %" if check.confidence else "–",
        "p": _p(check.p_value),
        "alpha": _p(check.alpha),
    }
    if check.outcome == "waiting":
        return _("Looked at once, when the step is over.")
    if check.outcome == "too_few" and check.kind == "reference":
        return (
            _(
                "Too few values: %(canary_samples)s were counted, %(needed)s of at least one feature are needed."
            )
            % values
        )
    if check.outcome == "too_few":
        return (
            _(
                "Too few samples: %(stable_samples)s of the stable version and %(canary_samples)s of the canary, "
                "%(needed)s are needed of each."
            )
            % values
        )
    if check.kind == "drift":
        return (
            _("The index is %(canary)s; chance alone makes %(stable)s of it at these sample sizes.") % values
        )
    if check.kind == "reference":
        told = _("Most moved: %(part)s.") % {"part": _part(check.part)}
        return " ".join([told, _shape(check) % values, *_details(check, values)])
    if check.kind == "shape":
        return " ".join([_shape(check) % values, *_details(check, values)])
    if check.outcome == "harm":
        found = _("Harm: %(stable)s of the stable version, %(canary)s of the canary.")
    elif check.outcome == "no_harm":
        found = _("No harm: %(stable)s of the stable version, %(canary)s of the canary.")
    else:
        found = _("Not decided yet: %(stable)s of the stable version, %(canary)s of the canary.")
    return " ".join([found % values, *_details(check, values)])


def reason(judgement: Judgement) -> str:
    """Why the verdict is what it is."""
    harmed = [_title(check) for check in judgement.checks if check.outcome == "harm"]
    open_ = [_title(check) for check in judgement.checks if check.required and check.outcome != "no_harm"]
    values = {"harmed": ", ".join(harmed), "open": ", ".join(open_)}
    if judgement.verdict == "roll_back":
        return _("The canary does harm: %(harmed)s.") % values
    if judgement.verdict == "promote":
        return _("No required guardrail shows harm beyond its tolerance.")
    if judgement.verdict == "inconclusive":
        return _("The step is over and the evidence does not decide: %(open)s. A person is asked.") % values
    if open_:
        return _("More evidence is needed: %(open)s.") % values
    return _("The evidence is there; the step's least time has not passed yet.")


def _shape(check: Check) -> str:
    if check.outcome == "harm":
        return _("Harm: the index is %(canary)s; chance alone makes %(stable)s of it at these sample sizes.")
    if check.outcome == "no_harm":
        return _(
            "No large difference: the index is %(canary)s; chance alone makes %(stable)s of it at these sample sizes."
        )
    return _(
        "Not decided yet: the index is %(canary)s, which the test does not tell from chance; "
        "chance alone makes %(stable)s of it at these sample sizes."
    )


def _details(check: Check, values: dict[str, object]) -> list[str]:
    """The interval and the p-value, for the checks that have them."""
    details = []
    if check.outcome == "harm" and min(check.stable_samples, check.canary_samples) < check.min_samples:
        details.append(_("There are too few samples for the interval; the exact test alone has decided."))
    elif check.interval is not None:
        text = (
            _("The difference lies between %(low)s and %(high)s (%(confidence)s, all looks together).")
            if check.method == "always-valid"
            else _("The difference lies between %(low)s and %(high)s (%(confidence)s, this one look).")
        )
        details.append(text % values)
    if check.p_value is not None:
        details.append(_("p = %(p)s against a level of %(alpha)s.") % values)
    return details


def _title(check: Check) -> str:
    if check.kind == "shape":
        return _part(check.name)
    if check.kind == "reference":
        return _("drift from the training data (%(part)s)") % {"part": _part(check.part) or "–"}
    return _("error rate") if check.kind == "errors" else check.name


def _part(name: str) -> str:
    """A distribution's name, or the feature's as it is."""
    known = {
        "drift_prediction": _("predicted classes"),
        "drift_confidence": _("confidence of the predictions"),
    }
    return known.get(name, name)


def _what(check: Check) -> str:
    values = {"name": check.name}
    if check.kind == "errors":
        return _("Share of requests that failed on the server's side")
    if check.kind == "latency":
        return _("Share of answers slower than the stable version's %(name)s before the step") % values
    if check.kind == "mean":
        return _("Mean of %(name)s") % values
    if check.kind == "drift":
        return _("Drift of %(name)s from its reference (population stability index)") % values
    if check.kind == "shape":
        return _(
            "Distribution of the %(title)s against the stable version's in the same time (population stability index)"
        ) % {"title": _title(check)}
    if check.kind == "reference":
        return _(
            "Inputs and predictions of the canary against its own training data (population stability index)"
        )
    if check.kind == "shift":
        return _("Shift of %(name)s (Mann-Whitney, Hodges-Lehmann)") % values
    return _("Share of %(name)s") % values


def _is_share(check: Check) -> bool:
    return check.kind in ("errors", "latency", "rate")


def _number(value: float | None, check: Check) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.3g} %" if _is_share(check) else f"{value:.4g}"


def _difference(value: float, check: Check, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if _is_share(check):
        return _("%(points)s percentage points") % {"points": f"{100 * value:{sign}.3g}"}
    return f"{value:{sign}.4g}"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"
