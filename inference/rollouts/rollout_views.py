"""The console's pages about rollouts: starting one, watching it, deciding where a person must, and the evidence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import DomainError, InvalidInput, NotFound
from inference.rollouts import rollout_services
from inference.rollouts.analysis.windows import REFERENCE, SHAPES
from inference.rollouts.experiment_pages import experiment_context
from inference.rollouts.models import Rollout
from inference.rollouts.plans import DAY_S
from inference.rollouts.rollout_pages import look_context, rollout_context
from inference.rollouts.selectors import candidates, visible_rollouts
from inference.rollouts.views import endpoint_of

MAX_LOOKS = 50
STEPS: dict[str, Callable[..., Rollout]] = {
    "promote": rollout_services.promote,
    "roll_back": rollout_services.roll_back_rollout,
    "cancel": rollout_services.cancel_rollout,
    "resume": rollout_services.resume,
    "hold": rollout_services.hold,
}
WATCHABLE = list(
    zip(
        (*SHAPES, REFERENCE),
        (
            _lazy("predicted classes"),
            _lazy("confidence of the predictions"),
            _lazy("inputs and predictions against the new version's training data"),
        ),
        strict=True,
    )
)
DEFAULTS = {
    "kind": "canary",
    "percents": "5, 25, 50",
    "hold_minutes": "5",
    "errors": "1",
    "slow": "2",
    "drift": "0.25",
    "reason": "",
    "version": "",
}


@never_cache
@require_http_methods(["GET", "POST"])
def start(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Begin to bring a version in."""
    principal = principal_of(request)
    endpoint = endpoint_of(request, endpoint_id)
    require(principal, "rollouts.endpoint.split", endpoint)
    given = {name: request.POST.get(name, default).strip() for name, default in DEFAULTS.items()}
    watched = [name for name, _label in WATCHABLE if name in request.POST.getlist("watch")]
    context = {
        "endpoint": endpoint,
        "versions": candidates(endpoint),
        "given": given,
        "watchable": [(name, label, name in watched) for name, label in WATCHABLE],
    }
    if request.method == "POST":
        try:
            made = rollout_services.start_rollout(
                principal=principal,
                endpoint_id=endpoint.id,
                kind=given["kind"],
                version=given["version"],
                plan=_plan(given, watched),
                reason=given["reason"],
            )
        except DomainError as error:
            if error.status == 403:
                raise
            return render(request, "rollouts/start.html", context | {"error": error}, status=error.status)
        messages.success(request, _("The rollout has begun; it goes on by itself from here."))
        return HttpResponseRedirect(reverse("rollout", args=[made.id]))
    return render(request, "rollouts/start.html", context)


@never_cache
@require_safe
def rollout(request: HttpRequest, rollout_id: UUID) -> HttpResponse:
    """One rollout."""
    found = rollout_of(request, rollout_id)
    context = rollout_context(found) | {
        "looks": found.evidence.all()[:MAX_LOOKS],
        "may_split": decide(principal_of(request), "rollouts.endpoint.split", found.endpoint).allow,
    }
    return render(request, "rollouts/rollout.html", context)


@never_cache
@require_safe
def live(request: HttpRequest, rollout_id: UUID) -> HttpResponse:
    """The part of the page that refreshes itself; the whole page when another step or state is reached."""
    found = rollout_of(request, rollout_id)
    answer = render(request, "rollouts/rollout_live.html", rollout_context(found))
    if request.GET.get("at", "") != f"{found.state}-{found.step}-{found.looks}":
        answer["HX-Refresh"] = "true"
    return answer


@never_cache
@require_safe
def look(request: HttpRequest, rollout_id: UUID, number: int) -> HttpResponse:
    """The evidence of one look."""
    found = rollout_of(request, rollout_id)
    seen = found.evidence.filter(number=number).first()
    if seen is None:
        raise NotFound(_("There was no such look."))
    context = {"rollout": found, "look": seen, **look_context(seen), **experiment_context(found, seen)}
    return render(request, "rollouts/look.html", context)


@require_POST
def act(request: HttpRequest, rollout_id: UUID) -> HttpResponse:
    """What a person decides: `do` is promote, roll_back, cancel, resume or hold."""
    found = rollout_of(request, rollout_id)
    service = STEPS.get(request.POST.get("do", ""))
    if service is None:
        raise InvalidInput(_("Choose one from the list."))
    step = request.POST.get("step", "")
    winner = {"version": request.POST.get("version", "")} if service is rollout_services.promote else {}
    service(
        **winner,
        principal=principal_of(request),
        rollout_id=found.id,
        reason=request.POST.get("reason", "").strip() or _("decided in the console"),
        expected_state=request.POST.get("state", ""),
        expected_step=int(step) if step.isdecimal() and len(step) < 4 else None,
    )
    messages.success(request, _("Done; every process follows it within a second."))
    return HttpResponseRedirect(reverse("rollout", args=[found.id]))


def rollout_of(request: HttpRequest, rollout_id: UUID) -> Rollout:
    principal = principal_of(request)
    found = visible_rollouts(principal).filter(pk=rollout_id).first()
    if found is None:
        require(principal, "rollouts.endpoint.view")
        raise NotFound(_("There is no such rollout."))
    require(principal, "rollouts.endpoint.view", found.endpoint)
    return found


def _plan(given: dict[str, str], watched: list[str]) -> dict[str, Any]:
    """The plan that the form describes, with the distributions that are watched. Raises InvalidInput."""
    minutes = _number(given["hold_minutes"])
    times = {"min_s": 60 * minutes, "max_s": max(float(DAY_S), 120 * minutes)}
    percents = [100] if given["kind"] == Rollout.Kind.BLUE_GREEN else _percents(given["percents"])
    return {
        "steps": [{"percent": percent, **times} for percent in percents],
        "guardrails": [
            {"metric": "error_rate", "tolerance": _number(given["errors"]) / 100},
            {"metric": "p99", "tolerance": _number(given["slow"]) / 100},
            {"metric": "p50", "tolerance": 0.2, "evidence": "none"},
            {"metric": "refused", "tolerance": 0.02, "evidence": "none"},
            *({"metric": name, "tolerance": _number(given["drift"])} for name in watched),
        ],
    }


def _percents(text: str) -> list[int]:
    found = re.split(r"[\s,;]+", text.strip())
    if not all(part.isdecimal() and len(part) < 4 for part in found):
        raise InvalidInput(_("Shares are whole percents from 0 to 100."))
    return [int(part) for part in found]


def _number(text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100_000:
        raise InvalidInput(_("“%(text)s” is no number of at least 0.") % {"text": text[:20]})
    return value
