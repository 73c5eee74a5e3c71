"""The console's pages about base capabilities: all of them with their figures, and one with its card, to be tried."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import AccessDenied, DomainError, InvalidInput
from governance.ethics.use import use_of
from inference.capabilities.catalogue import Capability, capability
from inference.capabilities.selectors import present
from inference.capabilities.services import add_capabilities
from inference.capabilities.using import use
from inference.serving.api import PredictionRefused
from inference.serving.errors import ProtocolError


@never_cache
@require_safe
def capabilities_page(request: HttpRequest) -> HttpResponse:
    """All of them, and which of them one's organisation has."""
    principal = principal_of(request)
    require(principal, "capabilities.capability.view")
    rows = present(principal)
    missing = any(row.version is None for row in rows)
    may_add = missing and not principal.platform and decide(principal, "capabilities.capability.add").allow
    return render(request, "capabilities/capabilities.html", {"rows": rows, "may_add": may_add})


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Add those that are missing."""
    add_capabilities(principal=principal_of(request))
    messages.success(request, _("The base capabilities are there; their endpoints answer now."))
    return HttpResponseRedirect(reverse("capabilities"))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.non_atomic_requests
def capability_page(request: HttpRequest, name: str) -> HttpResponse:
    """One with its card; a POST tries it. The prediction runs outside any transaction, as on every other face."""
    wanted, principal = capability(name), principal_of(request)
    answer, error = None, None
    if request.method == "POST":
        try:
            answer = _tried(request, wanted)
        except AccessDenied:
            raise
        except DomainError as refused:
            error = refused
    with transaction.atomic():
        require(principal, "capabilities.capability.view")
        row = next(row for row in present(principal) if row.capability is wanted)
        context = {
            "row": row,
            "capability": wanted,
            "may_try": row.answers and decide(principal, "capabilities.capability.use").allow,
            "text": request.POST.get("text", "")[:2_000],
            "answer": answer,
            "error": error,
        }
        return render(request, "capabilities/capability.html", context, status=error.status if error else 200)


def _tried(request: HttpRequest, wanted: Capability) -> str:
    with transaction.atomic():
        require(principal_of(request), "capabilities.capability.use")
    content: dict[str, Any]
    if wanted.takes == "image":
        file = request.FILES.get("image")
        if file is None:
            raise InvalidInput(_("Choose a file first."))
        content = {"images": [file.read()]}
    else:
        content = {"texts": [request.POST.get("text", "")]}
    try:
        found = use(
            wanted,
            principal=principal_of(request),
            request_id=getattr(request, "request_id", ""),
            purpose=use_of(request),
            **content,
        )
    except ProtocolError as error:
        raise PredictionRefused(error) from error
    return json.dumps(found["answers"][0], ensure_ascii=False, indent=2)
