"""The console's pages of placement and erasure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.audit.services import platform_tenant_id
from governance.data import erasing, pools
from governance.data.models import ComputePool, Erasure, PlacementRecord
from governance.data.receipts import is_genuine
from governance.data.trial import Verdict, try_placement
from governance.data.words import KIND_NAMES, LABEL_TONES
from governance.errors import InvalidInput, NotFound
from governance.tenants.models import Tenant
from governance.tenants.tasks import movable_workloads

SHOWN = 50
OUTCOME_TONES = {
    "erased": "good",
    "key_destroyed": "good",
    "nothing": "",
    "must_retrain": "warn",
    "retained": "info",
    "by_hand": "bad",
    "done_by_hand": "good",
    "found": "info",
}
STATE_TONES = {"queued": "info", "running": "info", "done": "good", "incomplete": "warn", "cancelled": ""}


@never_cache
@require_safe
def placement(request: HttpRequest) -> HttpResponse:
    """Pools, burst rules, and what was placed and refused lately, with the rules' names."""
    principal = principal_of(request)
    require(principal, "data.placement.view")
    house = platform_tenant_id()
    records = PlacementRecord.objects.select_related("tenant")
    described = list(ComputePool.objects.order_by("name"))
    context = {
        "pools": described,
        "home_missing": not any(pool.address == pools.HOME_POOL for pool in described),
        "kinds": ComputePool.Kind.choices,
        "bursts": sorted(pools.bursts().values(), key=lambda rule: rule.workload),
        "placed": records.exclude(pool="")[:SHOWN],
        "refused": records.filter(pool="")[:SHOWN],
        "tones": LABEL_TONES,
        "workloads": movable_workloads(),
        "may_manage": decide(principal, "data.pool.manage", tenant_id=house).allow,
        "trial": _trial(request),
        "asked": {name: request.GET.get(name, "") for name in ("asset", "purpose", "workload")},
        "may_describe": decide(principal, "data.pool.manage").allow,
        "own_slug": "" if principal.platform or principal.tenant_id is None else _slug(principal.tenant_id),
    }
    return render(request, "data/placement.html", context)


@require_POST
def set_pool(request: HttpRequest) -> HttpResponse:
    """Describe a pool of the platform, or of one's own tenant."""
    post, principal = request.POST, principal_of(request)
    pools.set_pool(
        principal=principal,
        tenant_id=pools.own_tenant(principal),
        name=post.get("name", "").strip(),
        kind=post.get("kind", ""),
        region=post.get("region", ""),
        certified_for=post.get("certified_for", "").split(","),
        capacity=_number(post.get("capacity", "60")),
        enabled=post.get("enabled", "on") == "on",
    )
    messages.success(request, _("The pool is described; every process knows it within a second."))
    return HttpResponseRedirect(reverse("data-placement"))


@require_POST
def set_burst(request: HttpRequest) -> HttpResponse:
    """Set a burst rule."""
    post = request.POST
    pools.set_burst(
        principal=principal_of(request),
        workload=post.get("workload", ""),
        threshold=_number(post.get("threshold", "")),
        pool_name=post.get("pool", ""),
        enabled=post.get("enabled", "on") == "on",
    )
    messages.success(request, _("The burst rule is set."))
    return HttpResponseRedirect(reverse("data-placement"))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def erasures(request: HttpRequest) -> HttpResponse:
    """All erasures and the form for a new one."""
    principal = principal_of(request)
    require(principal, "data.erasure.view")
    if request.method == "POST":
        made = erasing.request_erasure(
            principal=principal,
            kind=request.POST.get("kind", ""),
            reference=request.POST.get("reference", ""),
            reason=request.POST.get("reason", ""),
        )
        return HttpResponseRedirect(reverse("data-erasure", args=[made.id]))
    context = {
        "rows": Erasure.objects.select_related("tenant")[:SHOWN],
        "kinds": Erasure.Kind.choices,
        "reference": request.GET.get("reference", ""),
        "tones": STATE_TONES,
        "may_request": decide(principal, "data.erasure.request").allow,
    }
    return render(request, "data/erasures.html", context)


@never_cache
@require_safe
def erasure(request: HttpRequest, erasure_id: UUID) -> HttpResponse:
    """One erasure with every place that it found."""
    return render(request, "data/erasure.html", _erasure_context(request, erasure_id))


@never_cache
@require_safe
def erasure_live(request: HttpRequest, erasure_id: UUID) -> HttpResponse:
    """The part that is fetched again while it runs."""
    return render(request, "data/erasure_live.html", _erasure_context(request, erasure_id))


@never_cache
@require_safe
def receipt(request: HttpRequest, erasure_id: UUID) -> HttpResponse:
    """The signed receipt as a file."""
    found = _erasure(request, erasure_id)
    if found.receipt is None:
        raise NotFound(_("The erasure has no receipt yet."))
    body = {"receipt": found.receipt, "sha256": found.receipt_digest, "signature": found.signature}
    response = JsonResponse(body, json_dumps_params={"indent": 1, "sort_keys": True})
    response["Content-Disposition"] = f'attachment; filename="erasure-{found.id}.json"'
    return response


@require_POST
def step(request: HttpRequest, erasure_id: UUID) -> HttpResponse:
    """Stop an erasure, try again what needed a person, or say that a person has done it."""
    principal = principal_of(request)
    if request.POST.get("step") == "retry":
        erasing.retry_erasure(principal=principal, erasure_id=erasure_id)
    elif request.POST.get("step") == "confirm":
        erasing.confirm_place(
            principal=principal,
            erasure_id=erasure_id,
            place_id=_id(request.POST.get("place", "")),
            note=request.POST.get("note", "")[:500],
        )
    else:
        reason = request.POST.get("reason", "") or _("stopped in the console")
        erasing.cancel_erasure(principal=principal, erasure_id=erasure_id, reason=reason)
    return HttpResponseRedirect(reverse("data-erasure", args=[erasure_id]))


def _erasure(request: HttpRequest, erasure_id: UUID) -> Erasure:
    require(principal_of(request), "data.erasure.view")
    found = Erasure.objects.filter(pk=erasure_id).first()
    if found is None:
        raise NotFound(_("There is no such erasure."))
    return found


def _erasure_context(request: HttpRequest, erasure_id: UUID) -> dict[str, Any]:
    found = _erasure(request, erasure_id)
    places = list(found.places.order_by("depth", "id"))
    return {
        "erasure": found,
        "places": places,
        "done": sum(place.outcome != "found" for place in places),
        "busy": found.state in ("queued", "running"),
        "tone": STATE_TONES[found.state],
        "tones": OUTCOME_TONES,
        "kinds": KIND_NAMES,
        "genuine": bool(found.receipt and found.signature and is_genuine(found.receipt, found.signature)),
        "may_request": decide(principal_of(request), "data.erasure.request", found).allow,
    }


def _trial(request: HttpRequest) -> Verdict | str | None:
    """Where work on the asset of the address would run; a sentence where that cannot be said, None if nobody asked."""
    asset = request.GET.get("asset", "").strip()
    if not asset:
        return None
    try:
        return try_placement(
            principal=principal_of(request),
            asset_ids=[UUID(asset)],
            workload=request.GET.get("workload", "batch")[:60],
            purpose=request.GET.get("purpose", "").strip()[:100],
        )
    except (ValueError, NotFound):
        return _("There is no such asset.")


def _slug(tenant_id: UUID) -> str:
    return Tenant.objects.values_list("slug", flat=True).get(pk=tenant_id)


def _id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise NotFound(_("There is no such place.")) from error


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 8):
        raise InvalidInput(_("Give a whole number."))
    return int(value)
