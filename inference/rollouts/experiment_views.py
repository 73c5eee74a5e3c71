"""The console's page that plans an experiment, says how long it takes, and starts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.errors import DomainError, InvalidInput
from inference.registry.models import ModelVersion
from inference.rollouts.analysis.experiment_sentences import metric_name
from inference.rollouts.experiment_pages import sizing_rows
from inference.rollouts.experiment_plans import (
    ASK,
    COMPARED,
    MEANS,
    MOST_TREATMENTS,
    checked_experiment,
    longest_s,
)
from inference.rollouts.experiment_rollouts import start_experiment, stop_arms
from inference.rollouts.experiment_sizing import sizing
from inference.rollouts.models import Endpoint
from inference.rollouts.plans import DAY_S
from inference.rollouts.rollout_services import whole_split
from inference.rollouts.rollout_views import rollout_of
from inference.rollouts.views import endpoint_of

SHARE = "share-"
DEFAULTS = {
    "metric": "error_rate",
    "effect": "1",
    "alpha": "5",
    "power": "80",
    "errors": "1",
    "slow": "2",
    "hours": "1",
    "days": "14",
    "samples": "",
    "end": ASK,
    "reason": "",
}
# What beyond is offered are the ready versions without traffic, newest first.
OFFERED = MOST_TREATMENTS


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A version with the share that the form gives it; the control first."""

    version: str
    share: str
    control: bool


@never_cache
@require_http_methods(["GET", "POST"])
def start(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Plan an experiment (`do` is plan: its size is shown) or start it."""
    principal = principal_of(request)
    endpoint = endpoint_of(request, endpoint_id)
    require(principal, "rollouts.endpoint.split", endpoint)
    given = {name: request.POST.get(name, default).strip() for name, default in DEFAULTS.items()}
    rows = _rows(request, endpoint)
    context: dict[str, Any] = {
        "endpoint": endpoint,
        "given": given,
        "rows": rows,
        "metrics": [(name, metric_name(name)) for name in COMPARED],
        "most_days": int(longest_s() // DAY_S),
    }
    if request.method == "GET":
        return render(request, "rollouts/experiment_start.html", context)
    try:
        plan = _plan(given, rows)
        if request.POST.get("do") == "plan":
            _before, control = whole_split(endpoint)
            checked = checked_experiment(control.version, plan)
            size = sizing(endpoint, checked)
            context |= {"size": size, "needs": sizing_rows(size)}
            return render(request, "rollouts/experiment_start.html", context)
        made = start_experiment(
            principal=principal, endpoint_id=endpoint.id, plan=plan, reason=given["reason"]
        )
    except DomainError as error:
        if error.status == 403:
            raise
        context |= {"error": error}
        return render(request, "rollouts/experiment_start.html", context, status=error.status)
    messages.success(request, _("The experiment has begun; it goes on by itself from here."))
    return HttpResponseRedirect(reverse("rollout", args=[made.id]))


@require_POST
def stop_arm(request: HttpRequest, rollout_id: UUID) -> HttpResponse:
    """Give one treatment nothing any more."""
    principal = principal_of(request)
    found = rollout_of(request, rollout_id)
    stop_arms(
        principal=principal,
        rollout_id=found.id,
        versions=[request.POST.get("version", "")],
        reason=request.POST.get("reason", "").strip() or _("decided in the console"),
    )
    messages.success(request, _("Done; every process follows it within a second."))
    return HttpResponseRedirect(reverse("rollout", args=[found.id]))


def _rows(request: HttpRequest, endpoint: Endpoint) -> list[ShareRow]:
    """The control and the versions that may be its treatments; even shares for the newest two unless said otherwise."""
    whole = next((arm.model_version for arm in endpoint.arms.all() if arm.weight == 100), None)
    ready = ModelVersion.objects.filter(model_id=endpoint.model_id, state=ModelVersion.State.READY)
    if whole is not None:
        ready = ready.exclude(pk=whole.pk)
    others = list(ready.order_by("-id").values_list("version", flat=True)[:OFFERED])
    each = 100 // (min(len(others), 2) + 1)
    first = {version: str(each) for version in others[:2]}
    rows = [ShareRow(v, request.POST.get(SHARE + v, first.get(v, "")).strip(), False) for v in others]
    if whole is not None:
        share = str(100 - each * len(first))
        rows.insert(
            0, ShareRow(whole.version, request.POST.get(SHARE + whole.version, share).strip(), control=True)
        )
    return rows


def _plan(given: dict[str, str], rows: list[ShareRow]) -> dict[str, Any]:
    """The plan that the form describes. Raises InvalidInput."""
    mean = given["metric"] in MEANS
    return {
        "shares": {row.version: share for row in rows if (share := _whole(row.share or "0"))},
        "metric": given["metric"],
        "effect": _number(given["effect"]) / (1 if mean else 100),
        "alpha": _number(given["alpha"]) / 100,
        "power": _number(given["power"]) / 100,
        "guardrails": [
            {"metric": "error_rate", "tolerance": _number(given["errors"]) / 100},
            {"metric": "p99", "tolerance": _number(given["slow"]) / 100, "evidence": "none"},
        ],
        "min_s": 3600 * _number(given["hours"]),
        "max_s": DAY_S * _number(given["days"]),
        "max_samples": _whole(given["samples"]) if given["samples"] else None,
        "end": given["end"],
    }


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInput(_("“%(text)s” is no whole number.") % {"text": text[:20]})
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise InvalidInput(_("“%(text)s” is no number of at least 0.") % {"text": text[:20]})
    return value
