"""The page of stop buttons: what is stopped, press one, release one together."""

from __future__ import annotations

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
from governance.oversight import selectors, services
from governance.oversight.models import Stop
from governance.oversight.stops import TYPES
from governance.refs import ObjectRef

RELEASED_SHOWN = 10


@never_cache
@require_safe
def stops(request: HttpRequest) -> HttpResponse:
    """What is stopped now. `?type=&id=&label=` prepares the button of one endpoint or skill."""
    principal = principal_of(request)
    require(principal, "oversight.stop.view")
    chosen = ObjectRef(
        request.GET.get("type", ""), request.GET.get("id", ""), label=request.GET.get("label", "")[:200]
    )
    released = Stop.objects.filter(state=Stop.State.RELEASED).select_related("released_by", "tenant")
    context = {
        "stops": selectors.stops_in_force(),
        "released": released.order_by("-released_at")[:RELEASED_SHOWN],
        "chosen": chosen if TYPES.get(chosen.type) else None,
        "chosen_scope": TYPES.get(chosen.type, ""),
        "me": principal.accountable_user_id,
        "may_press": decide(principal, "oversight.stop.press").allow,
        "may_press_tenant": decide(principal, "oversight.stop.press_tenant").allow,
        "may_press_platform": decide(principal, "oversight.stop.press_platform").allow,
        "may_release": decide(principal, "oversight.stop.ask_release").allow,
    }
    return render(request, "oversight/stops.html", context)


@require_POST
def press(request: HttpRequest) -> HttpResponse:
    """Press one."""
    principal, given = principal_of(request), request.POST
    require(principal, "oversight.stop.view")
    services.press_stop(
        principal=principal,
        scope=given.get("scope", ""),
        reason=given.get("reason", ""),
        target=ObjectRef(given.get("type", ""), given.get("id", ""), label=given.get("label", "")[:200]),
    )
    messages.warning(request, _("Stopped. Every process obeys within a second."))
    return HttpResponseRedirect(reverse("stop-buttons"))


@require_POST
def ask_release(request: HttpRequest, stop_id: UUID) -> HttpResponse:
    """The first of two."""
    services.ask_release(
        principal=principal_of(request), stop_id=stop_id, reason=request.POST.get("reason", "")
    )
    messages.success(request, _("Asked. Somebody else must release it."))
    return HttpResponseRedirect(reverse("stop-buttons"))


@require_POST
def release(request: HttpRequest, stop_id: UUID) -> HttpResponse:
    """The second of two."""
    services.release_stop(principal=principal_of(request), stop_id=stop_id)
    messages.success(request, _("Released."))
    return HttpResponseRedirect(reverse("stop-buttons"))
