"""The console's pages about keys: where they live, whose they are, rotation, re-encryption, destruction."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import NotFound
from governance.keys import selectors, services
from governance.keys.models import ReEncryption
from governance.tenants.models import Tenant

OPEN = (ReEncryption.State.QUEUED, ReEncryption.State.RUNNING)


@never_cache
@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """Where keys live, and every tenant's; whoever sees one tenant only goes straight to it."""
    principal = principal_of(request)
    require(principal, "keys.key.view")
    if not principal.platform and principal.tenant_id is not None:
        return redirect("keys-tenant", principal.tenant_id)
    context = {"provider": selectors.provider_state(), "rows": selectors.overview()}
    return render(request, "keys/overview.html", context)


@never_cache
@require_safe
def tenant(request: HttpRequest, tenant_id: UUID) -> HttpResponse:
    """One tenant's keys."""
    found = _tenant(request, tenant_id)
    context = _page(request, found) | {"provider": selectors.provider_state()}
    return render(request, "keys/tenant.html", context)


@never_cache
@require_safe
def progress(request: HttpRequest, tenant_id: UUID) -> HttpResponse:
    """The re-encryptions, for the page to refresh while one runs."""
    return render(request, "keys/progress.html", _page(request, _tenant(request, tenant_id)))


@require_POST
def rotate(request: HttpRequest, tenant_id: UUID) -> HttpResponse:
    """A new wrapping key, or with `purpose` a new data key."""
    principal = principal_of(request)
    purpose, reason = request.POST.get("purpose", ""), request.POST.get("reason", "")
    if purpose:
        services.rotate_data_key(principal=principal, tenant_id=tenant_id, purpose=purpose, reason=reason)
        messages.success(request, _("Sealing goes on with a new data key."))
    else:
        services.rotate_wrapping_key(principal=principal, tenant_id=tenant_id, reason=reason)
        messages.success(request, _("There is a new wrapping key; the data keys are being wrapped with it."))
    return _back(tenant_id)


@require_POST
def re_encrypt(request: HttpRequest, tenant_id: UUID) -> HttpResponse:
    """Begin a re-encryption."""
    services.re_encrypt(
        principal=principal_of(request), tenant_id=tenant_id, purpose=request.POST.get("purpose", "")
    )
    messages.success(request, _("The re-encryption has begun."))
    return _back(tenant_id)


@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel a re-encryption."""
    job = services.cancel_re_encryption(principal=principal_of(request), job_id=job_id)
    messages.success(request, _("Cancelled. What is written anew stays so."))
    return _back(job.tenant_id)


@require_POST
def destroy(request: HttpRequest, tenant_id: UUID) -> HttpResponse:
    """Ask for the destruction of a tenant's keys."""
    services.request_destruction(
        principal=principal_of(request), tenant_id=tenant_id, reason=request.POST.get("reason", "")
    )
    messages.success(request, _("Asked for. A second person must confirm it."))
    return _back(tenant_id)


@require_POST
def decide_destruction(request: HttpRequest, destruction_id: UUID) -> HttpResponse:
    """Confirm a destruction as a second person, or withdraw it."""
    principal = principal_of(request)
    if request.POST.get("verdict") == "confirm":
        asked = services.confirm_destruction(principal=principal, destruction_id=destruction_id)
        messages.success(request, _("The keys are destroyed. What they sealed can never be read again."))
    else:
        asked = services.withdraw_destruction(principal=principal, destruction_id=destruction_id)
        messages.success(request, _("Withdrawn. The keys stay."))
    return _back(asked.tenant_id)


def _tenant(request: HttpRequest, tenant_id: UUID) -> Tenant:
    require(principal_of(request), "keys.key.view", tenant_id=tenant_id)
    found = Tenant.objects.filter(pk=tenant_id).first()
    if found is None:
        raise NotFound(_("There is no such tenant."))
    return found


def _page(request: HttpRequest, found: Tenant) -> dict[str, Any]:
    principal = principal_of(request)
    page = selectors.key_page(found)
    asked = page.destruction
    return {
        "page": page,
        "tenant": found,
        "running": next((job for job in page.jobs if job.state in OPEN), None),
        "may_rotate": decide(principal, "keys.key.rotate", tenant_id=found.id).allow,
        "may_ask": found.kind != Tenant.Kind.PLATFORM
        and decide(principal, "keys.destruction.request", tenant_id=found.id).allow,
        "own_request": asked is not None and asked.requested_by_id == principal.accountable_user_id,
        "may_confirm": asked is not None
        and decide(
            principal, "keys.key.destroy", asked, context={"requested_by": str(asked.requested_by_id)}
        ).allow,
    }


def _back(tenant_id: UUID) -> HttpResponseRedirect:
    return redirect("keys-tenant", tenant_id)
