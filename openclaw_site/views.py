"""The landing page, health, and metrics."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from governance.access.decisions import decide
from governance.access.requests import principal_of
from governance.principals import Role
from openclaw_site.metrics import exposition
from openclaw_site.readiness import readiness


def home(request: HttpRequest) -> HttpResponse:
    """Where a person's work is: the portal for partners, the console for everybody else, else the sign-in page."""
    principal = principal_of(request)
    if not principal.is_authenticated:
        if request.user.is_authenticated:  # an account without a role anywhere, or of suspended tenants only
            return render(request, "access/no_role.html", status=403)
        return HttpResponseRedirect(reverse("login"))
    if principal.has_role(Role.PARTNER):
        return HttpResponseRedirect(reverse("partner-home"))
    return HttpResponseRedirect(reverse("admin:index"))


@never_cache
@require_safe
@transaction.non_atomic_requests
def live(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"live": True})


@never_cache
@require_safe
@transaction.non_atomic_requests
def ready(request: HttpRequest) -> JsonResponse:
    """200 when what a request needs works, else 503; the parts tell more."""
    report = readiness()
    return JsonResponse(report.as_dict(), status=200 if report.ready else 503)


@never_cache
@require_safe
@transaction.non_atomic_requests
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for a bearer of the metrics token or a principal who may read metrics."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    allowed = hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    if not allowed and not decide(principal_of(request), "site.metrics.read").allow:
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Bearer realm="OpenClaw metrics"'})
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)
