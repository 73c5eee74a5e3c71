"""The console's pages about endpoints: traffic split, one-click rollback, who may call, live figures."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.access.selectors import applications_by_grant
from governance.errors import DomainError, InvalidInput, NotFound
from inference.registry.models import ModelVersion
from inference.registry.selectors import visible_versions
from inference.rollouts import services
from inference.rollouts.charts import line
from inference.rollouts.figures import series
from inference.rollouts.models import MAX_OBJECTIVE_MS, MIN_OBJECTIVE_MS, Endpoint
from inference.rollouts.objectives import common_objective_ms, set_objective
from inference.rollouts.overview import endpoint_rows
from inference.rollouts.policies import INVOKE_GRANT
from inference.rollouts.rollout_pages import STATE_BADGES, last_rollout, quality_rows
from inference.rollouts.routing_rules import rules_of
from inference.rollouts.selectors import visible_endpoints

MAX_CHANGES = 20


def endpoint_of(request: HttpRequest, endpoint_id: UUID) -> Endpoint:
    """The endpoint of an address, if the asker may see it. Raises NotFound and AccessDenied."""
    principal = principal_of(request)
    found = visible_endpoints(principal).filter(pk=endpoint_id).first()
    if found is None:
        require(principal, "rollouts.endpoint.view")
        raise NotFound(_("There is no such endpoint."))
    require(principal, "rollouts.endpoint.view", found)
    return found


@never_cache
@require_safe
def endpoints(request: HttpRequest) -> HttpResponse:
    """All endpoints with their splits and figures."""
    principal = principal_of(request)
    require(principal, "rollouts.endpoint.view")
    rows = endpoint_rows(list(visible_endpoints(principal)[:200]))
    context = {"rows": rows, "may_create": decide(principal, "rollouts.endpoint.create").allow}
    return render(request, "rollouts/endpoints.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """A new endpoint for a ready version."""
    principal = principal_of(request)
    require(principal, "rollouts.endpoint.create")
    versions = (
        visible_versions(principal).filter(state=ModelVersion.State.READY).order_by("model__name", "-id")
    )
    context: dict[str, Any] = {
        "versions": versions,
        "name": request.POST.get("name", ""),
        "chosen": request.POST.get("version", request.GET.get("version", "")),
    }
    if request.method == "POST":
        try:
            made = services.create_endpoint(
                principal=principal,
                name=request.POST.get("name", "").strip(),
                model_version_id=_uuid(request.POST.get("version", "")),
            )
        except InvalidInput as error:
            return render(request, "rollouts/create.html", context | {"error": error}, status=error.status)
        messages.success(request, _("The endpoint “%(name)s” answers now.") % {"name": made.name})
        return HttpResponseRedirect(reverse("endpoint", args=[made.id]))
    return render(request, "rollouts/create.html", context)


@never_cache
@require_safe
def endpoint(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """One endpoint."""
    found = endpoint_of(request, endpoint_id)
    return render(request, "rollouts/endpoint.html", _endpoint_context(request, found))


@never_cache
@require_safe
def figures(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """The part of the endpoint's page that refreshes itself."""
    found = endpoint_of(request, endpoint_id)
    return render(request, "rollouts/figures.html", _figures_context(found))


@require_POST
def split(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Set the shares: fields `weight-VERSION`, and `add` for a version that joins with 0 percent."""
    found = endpoint_of(request, endpoint_id)
    try:
        weights = {
            name.removeprefix("weight-"): int(str(value))
            for name, value in request.POST.items()
            if name.startswith("weight-")
        }
    except ValueError:
        messages.error(request, _("Shares are whole percents from 0 to 100."))
        return HttpResponseRedirect(reverse("endpoint", args=[found.id]))
    if added := request.POST.get("add", ""):
        weights[added] = 0
    if removed := request.POST.get("remove", ""):
        weights.pop(removed, None)
    try:
        services.set_split(
            principal=principal_of(request),
            endpoint_id=found.id,
            weights=weights,
            reason=request.POST.get("reason", "").strip(),
        )
    except DomainError as error:
        if error.status == 403:
            raise
        messages.error(request, str(error))
    else:
        messages.success(request, _("The split is set; every process follows it within a second."))
    return HttpResponseRedirect(reverse("endpoint", args=[found.id]))


@require_POST
def undo(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Restore the split from before the last change."""
    found = endpoint_of(request, endpoint_id)
    expected = request.POST.get("change", "")
    services.roll_back(
        principal=principal_of(request),
        endpoint_id=found.id,
        reason=request.POST.get("reason", "").strip() or _("rolled back in the console"),
        expected_change_id=_uuid(expected) if expected else None,
    )
    messages.success(request, _("The earlier split is back; every process follows it within a second."))
    return HttpResponseRedirect(reverse("endpoint", args=[found.id]))


@require_POST
def objective(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Set the latency objective (`ms`), or that of the installation where it is empty."""
    found = endpoint_of(request, endpoint_id)
    given = request.POST.get("ms", "").strip()
    try:
        set_objective(
            principal=principal_of(request),
            endpoint_id=found.id,
            latency_objective_ms=(int(given) if given.isdecimal() and len(given) < 10 else 0)
            if given
            else None,
            reason=request.POST.get("reason", "").strip(),
        )
    except InvalidInput as error:
        context = _endpoint_context(request, found) | {"objective_error": error, "objective_given": given}
        return render(request, "rollouts/endpoint.html", context, status=error.status)
    messages.success(request, _("The objective is set; every process follows it within a second."))
    return HttpResponseRedirect(reverse("endpoint", args=[found.id]) + "#objective")


@require_POST
def grants(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Let an application call the endpoint (`give`), or take that right back (`take`)."""
    found = endpoint_of(request, endpoint_id)
    principal = principal_of(request)
    if given := request.POST.get("give", ""):
        services.grant_invoke(principal=principal, endpoint_id=found.id, application_id=_uuid(given))
        messages.success(request, _("The application may call this endpoint now."))
    elif taken := request.POST.get("take", ""):
        services.revoke_invoke(principal=principal, endpoint_id=found.id, application_id=_uuid(taken))
        messages.success(request, _("The application is refused from now on."))
    return HttpResponseRedirect(reverse("endpoint", args=[found.id]) + "#grants")


def _endpoint_context(request: HttpRequest, found: Endpoint) -> dict[str, Any]:
    principal = principal_of(request)
    arms = list(found.arms.all())
    granted, grantable = applications_by_grant(
        tenant_id=found.tenant_id, permission=INVOKE_GRANT, object_id=found.id
    )
    last = services.last_change_in_force(found)
    versions = (
        ModelVersion.objects.filter(model_id=found.model_id, state=ModelVersion.State.READY)
        .exclude(pk__in=[arm.model_version_id for arm in arms])
        .order_by("-id")
    )
    return {
        **_figures_context(found),
        "endpoint": found,
        "arms": arms,
        "free_versions": versions,
        "may_split": decide(principal, "rollouts.endpoint.split", found).allow,
        "may_grant": decide(principal, "access.grant.manage", found).allow,
        "granted": granted,
        "grantable": grantable,
        "changes": found.changes.select_related("undoes")[:MAX_CHANGES],
        "may_review": decide(principal, "privilege.right.view", tenant_id=found.tenant_id).allow,
        "last_change": last,
        "rules": rules_of(found),
        "common_objective_ms": common_objective_ms(),
        "objective_bounds": (MIN_OBJECTIVE_MS, MAX_OBJECTIVE_MS),
        "quality": quality_rows(found),
        "last_rollout": (rollout := last_rollout(found)),
        "rollout_badge": STATE_BADGES[rollout.state] if rollout is not None else "",
        "open_rollout": rollout is not None and rollout.is_open,
        "address": request.build_absolute_uri(f"/v2/models/{found.name}/infer"),
    }


def _figures_context(found: Endpoint) -> dict[str, Any]:
    moments = series([found.id], slots=60, slot_s=5)
    return {
        "row": endpoint_rows([found])[0],
        "traffic": line([moment.per_second for moment in moments]),
        "latency": line([moment.p99_ms for moment in moments]),
        "endpoint": found,
    }


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise InvalidInput(_("Choose one from the list.")) from error
