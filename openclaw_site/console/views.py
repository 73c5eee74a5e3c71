"""The console's first page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from openclaw_site.dashboard import house


@never_cache
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """The state of the house; whose work is the log is led there."""
    principal = principal_of(request)
    require(principal, "site.console.open")
    if not decide(principal, "site.house.view").allow and decide(principal, "audit.entry.view").allow:
        return HttpResponseRedirect(reverse("audit-log"))
    require(principal, "site.house.view")
    return render(request, "console/dashboard.html", {"house": house(principal)})


@never_cache
@require_safe
def house_part(request: HttpRequest) -> HttpResponse:
    """The part of the first page that refreshes itself."""
    principal = principal_of(request)
    require(principal, "site.house.view")
    return render(request, "console/house.html", {"house": house(principal)})
