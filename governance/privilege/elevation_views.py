"""Pages about more rights for a while: ask, approve, break the glass, review."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.principals import Role
from governance.privilege import selectors, services
from governance.privilege.forms import BreakGlassForm, ElevationForm, HolderForm, SettingsForm
from governance.privilege.views import own_tenant
from governance.tenants.models import Tenant

SHOWN = 50


@never_cache
@require_safe
def elevations(request: HttpRequest) -> HttpResponse:
    """One's own elevations; for administrators everybody's, with what waits for them."""
    principal = principal_of(request)
    tenant_id = own_tenant(principal)
    require(principal, "privilege.elevation.view", tenant_id=tenant_id)
    sees_all = decide(principal, "privilege.right.view", tenant_id=tenant_id).allow
    may_set = decide(principal, "privilege.settings.manage", tenant_id=tenant_id).allow
    tenant = Tenant.objects.get(pk=tenant_id)
    holders = list(selectors.holders(tenant_id))
    mine = [holder.role for holder in holders if holder.person_id == principal.accountable_user_id]
    context = {
        "rows": selectors.elevations(
            tenant_id=tenant_id, person_id=None if sees_all else principal.accountable_user_id
        )[:SHOWN],
        "alarms": selectors.glass_alarms(tenant_id=tenant_id),
        "me": principal.accountable_user_id,
        "may_decide": decide(principal, "privilege.elevation.decide", tenant_id=tenant_id).allow,
        "may_review": decide(principal, "privilege.glass.review", tenant_id=tenant_id).allow,
        "may_set": may_set,
        "form": ElevationForm(kind=tenant.kind),
        "glass_form": BreakGlassForm(roles=mine) if mine else None,
        "holders": holders if sees_all else [],
        "holder_form": HolderForm(tenant=tenant) if may_set else None,
        "settings_form": SettingsForm(instance=selectors.settings_of(tenant_id)) if may_set else None,
    }
    return render(request, "privilege/elevations.html", context)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for a role for a while."""
    principal = principal_of(request)
    form = ElevationForm(request.POST, kind=Tenant.objects.get(pk=own_tenant(principal)).kind)
    given = _valid(form)
    services.request_elevation(
        principal=principal, role=Role(given["role"]), reason=given["reason"], minutes=given["minutes"]
    )
    messages.success(request, _("Asked. Somebody with the right to decide sees it on this page."))
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def decide_elevation(request: HttpRequest, elevation_id: UUID) -> HttpResponse:
    """Approve or refuse."""
    approve = request.POST.get("verdict") == "approve"
    services.decide_elevation(
        principal=principal_of(request),
        elevation_id=elevation_id,
        approve=approve,
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, _("Approved; it counts from now on.") if approve else _("Refused."))
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def end(request: HttpRequest, elevation_id: UUID) -> HttpResponse:
    """End an elevation, or withdraw one that waits."""
    principal = principal_of(request)
    if request.POST.get("withdraw"):
        services.withdraw_elevation(principal=principal, elevation_id=elevation_id)
    else:
        services.end_elevation(principal=principal, elevation_id=elevation_id)
    messages.success(request, _("It is over."))
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def break_glass(request: HttpRequest) -> HttpResponse:
    """Emergency access, at once."""
    principal = principal_of(request)
    require(principal, "privilege.glass.break")
    mine = selectors.holders(own_tenant(principal)).filter(person_id=principal.accountable_user_id)
    given = _valid(BreakGlassForm(request.POST, roles=[holder.role for holder in mine]))
    services.break_glass(principal=principal, role=Role(given["role"]), reason=given["reason"])
    messages.warning(request, _("You have the role now. Everybody has been told, and it will be reviewed."))
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def review_glass(request: HttpRequest, elevation_id: UUID) -> HttpResponse:
    """Say what was found about an emergency."""
    services.review_break_glass(
        principal=principal_of(request), elevation_id=elevation_id, review=request.POST.get("review", "")
    )
    messages.success(request, _("Reviewed; the alarm is over."))
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def name_holder(request: HttpRequest) -> HttpResponse:
    """Name somebody for emergencies."""
    principal = principal_of(request)
    tenant_id = own_tenant(principal)
    given = _valid(HolderForm(request.POST, tenant=Tenant.objects.get(pk=tenant_id)))
    services.name_holder(
        principal=principal, tenant_id=tenant_id, person_id=given["person"].id, role=Role(given["role"])
    )
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def remove_holder(request: HttpRequest, holder_id: UUID) -> HttpResponse:
    """Take the name off again."""
    services.remove_holder(principal=principal_of(request), holder_id=holder_id)
    return HttpResponseRedirect(reverse("elevations"))


@require_POST
def save_settings(request: HttpRequest) -> HttpResponse:
    """Set the tenant's bounds."""
    principal = principal_of(request)
    given = _valid(SettingsForm(request.POST))
    services.save_settings(principal=principal, tenant_id=own_tenant(principal), **given)
    messages.success(request, _("Saved."))
    return HttpResponseRedirect(reverse("elevations"))


def _valid(form: ElevationForm | BreakGlassForm | HolderForm | SettingsForm) -> dict[str, Any]:
    if form.is_valid():
        return form.cleaned_data
    label, problems = next(iter(form.errors.items()))
    field = form.fields.get(label)
    raise InvalidInput(f"{field.label if field else label}: {problems[0]}")
