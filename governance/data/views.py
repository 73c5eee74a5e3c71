"""The console's pages of the catalogue: assets with their lineage, datasets, and requests to lower a label."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.audit.models import AuditEntry
from governance.data import lineage, loosening, selectors, services
from governance.data.dataset_views import PAGE, WORDS, days_of, grants_of
from governance.data.drawing import draw
from governance.data.models import Asset, Declassification, LineageEdge
from governance.errors import AccessDenied, DomainError

HISTORY = 10


@never_cache
@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    """Everything that holds or was made from data, and the way in from a prediction's request id."""
    principal = principal_of(request)
    require(principal, "data.asset.view")
    asked = {name: request.GET.get(name, "").strip() for name in ("text", "label", "type")}
    rows = Paginator(selectors.search(principal, **asked).order_by("-id"), PAGE)
    wishes = Declassification.objects.filter(state=Declassification.State.REQUESTED)
    context = {
        **WORDS,
        "page": rows.get_page(request.GET.get("page")),
        "asked": asked,
        "wishes": wishes.select_related("asset", "requested_by")[:PAGE],
    }
    return render(request, "data/catalogue.html", context)


@never_cache
@require_safe
def trace(request: HttpRequest) -> HttpResponse:
    """From a prediction's request id, or a batch job's id, to the lineage of what answered."""
    principal = principal_of(request)
    require(principal, "data.asset.view")
    reference = request.GET.get("reference", "").strip()
    kind = "batch-job" if request.GET.get("kind") == "batch-job" else "prediction"
    try:
        found, facts = lineage.asset_of_reference(principal, kind, reference)
    except DomainError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(reverse("data-catalogue"))
    return render(request, "data/asset.html", _asset_context(request, found) | {"facts": facts})


@never_cache
@require_safe
def asset(request: HttpRequest, asset_id: UUID) -> HttpResponse:
    """One asset: its label, what is written about it, where it came from and what came of it."""
    return render(request, "data/asset.html", _asset_context(request, _asset(request, asset_id)))


@require_POST
def label(request: HttpRequest, asset_id: UUID) -> HttpResponse:
    """Raise a label, or (`lower`) ask that it be lowered."""
    found = _asset(request, asset_id)
    given: dict[str, Any] = {
        "asset_id": found.id,
        "label": request.POST.get("label", ""),
        "subjects": request.POST.getlist("subjects"),
        "reason": request.POST.get("reason", ""),
    }
    with _told(request) as told:
        if request.POST.get("lower"):
            loosening.request_declassification(principal=principal_of(request), **given)
            told.done = _("Asked for. Somebody else with the right decides.")
        else:
            raised = services.relabel(principal=principal_of(request), **given)
            told.done = _("The label is set; %(count)d things that came of it rose as well.") % {
                "count": len(raised)
            }
    return HttpResponseRedirect(reverse("data-asset", args=[found.id]))


@require_POST
def describe(request: HttpRequest, asset_id: UUID) -> HttpResponse:
    """Change purpose, region, licence and retention, or (`loosen`) ask that they be loosened."""
    found = _asset(request, asset_id)
    post = request.POST
    with _told(request) as told:
        given: dict[str, Any] = {
            "principal": principal_of(request),
            "asset_id": found.id,
            "purpose": post.get("purpose", "").strip()[:100],
            "region": post.get("region", "").strip()[:60],
        }
        days = days_of(post.get("retention_days", ""))
        if post.get("loosen"):
            # An emptied field asks for no end of the retention.
            loosening.request_declassification(
                **given, retention_days=days or 0, reason=post.get("reason", "")
            )
            told.done = _("Asked for. Somebody else with the right decides.")
        else:
            licence = post.get("licence", "").strip()[:100]
            services.describe_asset(**given, licence=licence, retention_days=days)
            told.done = _("Kept.")
    return HttpResponseRedirect(reverse("data-asset", args=[found.id]))


@require_POST
def link(request: HttpRequest, asset_id: UUID) -> HttpResponse:
    """Write down what the asset came of; the source's limits flow to it."""
    found, principal = _asset(request, asset_id), principal_of(request)
    with _told(request) as told:
        source = lineage.asset_named(principal, request.POST.get("source", ""), tenant_id=found.tenant_id)
        services.link(
            principal=principal,
            source=source.target,
            target=found.target,
            relation=request.POST.get("relation", ""),
            tenant_id=found.tenant_id,
        )
        told.done = _("Kept: it came of “%(name)s”.") % {"name": source.name}
    return HttpResponseRedirect(reverse("data-asset", args=[found.id]))


@require_POST
def decide_wish(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Approve or refuse a declassification."""
    approve = request.POST.get("verdict") == "approve"
    wish = loosening.decide_declassification(
        principal=principal_of(request),
        request_id=request_id,
        approve=approve,
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, _("It is loosened as asked.") if approve else _("Refused; it stays as it is."))
    return HttpResponseRedirect(reverse("data-asset", args=[wish.asset_id]))


def _asset(request: HttpRequest, asset_id: UUID) -> Asset:
    principal = principal_of(request)
    require(principal, "data.asset.view")
    return lineage.asset_for(principal, asset_id)


def _asset_context(request: HttpRequest, found: Asset) -> dict[str, Any]:
    principal = principal_of(request)
    graph = lineage.graph_of(found)
    dataset = selectors.visible_datasets(principal).filter(asset=found).first()
    wish = (
        Declassification.objects.select_related("requested_by")
        .filter(asset=found, state=Declassification.State.REQUESTED)
        .first()
    )
    return {
        **WORDS,
        "asset": found,
        "dataset": dataset,
        **(grants_of(principal, dataset) if dataset is not None else {}),
        "graph": graph,
        "drawing": draw(graph),
        "wish": wish,
        "own_wish": wish is not None and wish.requested_by_id == principal.accountable_user_id,
        "history": AuditEntry.objects.filter(
            tenant_id=found.tenant_id, target_type="data.asset", target_id=str(found.id)
        ).order_by("-sequence")[:HISTORY],
        "may_label": decide(principal, "data.asset.label", found).allow,
        "may_link": decide(principal, "data.asset.register", tenant_id=found.tenant_id).allow,
        "relations": LineageEdge.Relation.choices,
        "may_decide": wish is not None and decide(principal, "data.asset.declassify", found).allow,
        "may_review": decide(principal, "privilege.right.view", tenant_id=found.tenant_id).allow,
        "may_erase": decide(principal, "data.erasure.request", found).allow,
    }


class _told:
    """A refusal that is no refusal of access becomes a message on the page that follows; success says what is done."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.done = ""

    def __enter__(self) -> _told:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if error is None:
            messages.success(self.request, self.done)
            return False
        if isinstance(error, DomainError) and not isinstance(error, AccessDenied):
            messages.error(self.request, str(error))
            return True
        return False
