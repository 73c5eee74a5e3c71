"""The address that transmitters push to (RFC 8935), and the console's page about security events."""

from __future__ import annotations

import json
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from django_ratelimit.core import is_ratelimited

from governance.access.decisions import decide
from governance.access.requests import principal_of
from governance.errors import InvalidInput, NotFound
from governance.events import selectors, services
from governance.events.tokens import MAX_BYTES, SetRefused

CONTENT_TYPE = "application/secevent+jwt"
RATE = "120/m"  # per transmitter and client address
SHOWN = 100


@csrf_exempt
@require_POST
@transaction.non_atomic_requests
def deliver(request: HttpRequest, transmitter_id: UUID) -> HttpResponse:
    """Take one security event token: 202 and nothing in it, or RFC 8935's error object."""
    if is_ratelimited(
        request,
        group="events",
        key=lambda _group, asked: f"{asked.META.get('REMOTE_ADDR', '')}:{transmitter_id}",
        rate=RATE,
        increment=True,
    ):
        answer = _refusal("access_denied", "too many events; try again in a minute", status=429)
        answer.headers["Retry-After"] = "60"
        return answer
    if request.content_type != CONTENT_TYPE:
        return _refusal("invalid_request", f"the content type must be {CONTENT_TYPE}")
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        return _refusal("invalid_request", f"the token is longer than {MAX_BYTES} bytes", status=413)
    try:
        services.receive(
            principal=principal_of(request),
            transmitter_id=transmitter_id,
            token=body.decode("ascii", errors="replace").strip(),
        )
    except SetRefused as refused:
        return _refusal(refused.err, refused.description)
    except NotFound:
        return _refusal("authentication_failed", "there is no such transmitter here", status=404)
    return HttpResponse(status=202)


def _refusal(err: str, description: str, *, status: int = 400) -> JsonResponse:
    return JsonResponse(
        {"err": err, "description": description}, status=status, headers={"Content-Language": "en"}
    )


@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Transmitters, where they deliver to, and what they told lately."""
    principal = principal_of(request)
    context = {
        "transmitters": [
            (row, settings.PUBLIC_URL + reverse("caep-deliver", args=[row.pk]))
            for row in selectors.transmitters(principal)
        ],
        "events": selectors.events(principal)[:SHOWN],
        "may_manage": principal.tenant_id is not None
        and decide(principal, "events.transmitter.manage", tenant_id=principal.tenant_id).allow,
        "default_audience": settings.PUBLIC_URL,
    }
    return render(request, "events/page.html", context)


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Name a transmitter."""
    given = request.POST.get("jwks", "").strip()
    try:
        jwks = json.loads(given) if given else None
    except ValueError as error:
        raise InvalidInput(_("The keys are no JSON.")) from error
    services.add_transmitter(
        principal=principal_of(request),
        name=request.POST.get("name", ""),
        issuer=request.POST.get("issuer", ""),
        audience=request.POST.get("audience", ""),
        jwks_url=request.POST.get("jwks_url", "").strip(),
        jwks=jwks,
    )
    messages.success(request, _("Added. Give its address to the transmitter."))
    return HttpResponseRedirect(reverse("security-events"))


@require_POST
def enable(request: HttpRequest, transmitter_id: UUID) -> HttpResponse:
    """Stop believing a transmitter, or believe it again."""
    enabled = request.POST.get("enabled") == "yes"
    services.set_transmitter_enabled(
        principal=principal_of(request),
        transmitter_id=transmitter_id,
        enabled=enabled,
        reason=request.POST.get("reason", ""),
    )
    messages.success(
        request, _("Its events are believed again.") if enabled else _("Its events are refused from now on.")
    )
    return HttpResponseRedirect(reverse("security-events"))
