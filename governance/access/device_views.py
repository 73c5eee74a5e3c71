"""The page of registered devices: one's own, and for administrators those of the tenant."""

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
from governance.access.devices import revoke_device, set_posture, visible_devices
from governance.access.posture import present_posture
from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.principals import Device

SHOWN = 200


@never_cache
@require_safe
def device_list(request: HttpRequest) -> HttpResponse:
    """The devices with their posture as it counts now."""
    principal = principal_of(request)
    require(principal, "access.device.view")
    rows = list(visible_devices(principal)[: SHOWN + 1])
    context = {
        "devices": [(device, present_posture(device).value) for device in rows[:SHOWN]],
        "more": len(rows) > SHOWN,
        "may_manage": decide(principal, "access.device.manage").allow,
        "own_id": principal.user_id,
    }
    return render(request, "access/devices.html", context)


@require_POST
def device_posture(request: HttpRequest, device_id: UUID) -> HttpResponse:
    """An administrator says what device management found."""
    principal = principal_of(request)
    try:
        posture = Device(request.POST.get("posture", ""))
    except ValueError:
        raise InvalidInput(_("A posture is compliant, not compliant or unknown.")) from None
    device = set_posture(principal=principal, device_id=device_id, posture=posture, source=principal.label)
    messages.success(request, _("“%(name)s” has been noted.") % {"name": device.name})
    return HttpResponseRedirect(reverse("devices"))


@require_POST
def device_revoke(request: HttpRequest, device_id: UUID) -> HttpResponse:
    """A device that was lost or is no longer used."""
    device = revoke_device(
        principal=principal_of(request), device_id=device_id, reason=request.POST.get("reason", "")
    )
    messages.success(request, _("“%(name)s” opens nothing any more.") % {"name": device.name})
    return HttpResponseRedirect(reverse("devices"))
