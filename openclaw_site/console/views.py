"""The console's first page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from governance.access.decisions import require
from governance.access.requests import principal_of
from openclaw_site.dashboard import house


@never_cache
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """The state of the house."""
    principal = principal_of(request)
    require(principal, "site.console.open")
    return render(request, "console/dashboard.html", {"house": house(principal)})


@never_cache
@require_safe
def house_part(request: HttpRequest) -> HttpResponse:
    """The part of the first page that refreshes itself."""
    principal = principal_of(request)
    require(principal, "site.console.open")
    return render(request, "console/house.html", {"house": house(principal)})
