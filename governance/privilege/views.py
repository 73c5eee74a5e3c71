"""Pages about rights: the access review by person and by thing, and what nobody used."""

from __future__ import annotations

from itertools import groupby
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
from governance.principals import Principal
from governance.privilege import removing, selectors
from governance.privilege.models import RightKind
from governance.privilege.things import find_thing, things

SHOWN = 500


def own_tenant(principal: Principal) -> UUID:
    """The tenant that a page is about. Raises AccessDenied where nobody is signed in."""
    if principal.tenant_id is None:
        require(principal, "access.principal.view")
        raise InvalidInput(_("Choose a tenant first."))
    return principal.tenant_id


@never_cache
@require_safe
def review(request: HttpRequest) -> HttpResponse:
    """Everybody's rights; with `?thing=` what lets somebody use one thing, with `?q=` of the accounts so called.

    `?object=` is an id alone, whose kind nobody says: the grants on it.
    """
    principal = principal_of(request)
    tenant_id = own_tenant(principal)
    require(principal, "privilege.right.view", tenant_id=tenant_id)
    query, object_id = request.GET.get("q", "").strip(), request.GET.get("object", "").strip()
    key = request.GET.get("thing", "").strip()
    thing = find_thing(tenant_id, key) if key else None
    found = selectors.rights(tenant_id, object_id=object_id, thing=thing)
    if query:
        found = [right for right in found if query.lower() in right.account.username.lower()]
    context = {
        "people": [
            (account, list(rights)) for account, rights in groupby(found[:SHOWN], lambda right: right.account)
        ],
        "more": max(len(found) - SHOWN, 0),
        "query": query,
        "object_id": object_id,
        "thing": thing,
        "things": things(tenant_id),
        "object_label": thing.label
        if thing
        else next((right.object_label for right in found if right.object_label), object_id),
        "may_remove": decide(principal, "privilege.right.remove", tenant_id=tenant_id).allow,
        "proposed": selectors.open_proposals(tenant_id).count(),
    }
    return render(request, "privilege/review.html", context)


@require_POST
def remove(request: HttpRequest) -> HttpResponse:
    """Take one right away."""
    principal = principal_of(request)
    try:
        account_id = UUID(request.POST.get("account", ""))
        kind = RightKind(request.POST.get("kind", ""))
    except ValueError as error:
        raise InvalidInput(_("This is no right of an account.")) from error
    removing.remove_right(
        principal=principal,
        tenant_id=own_tenant(principal),
        account_id=account_id,
        kind=kind,
        name=request.POST.get("name", ""),
        object_id=request.POST.get("object", ""),
        reason=request.POST.get("reason", "") or _("access review"),
    )
    messages.success(request, _("Removed. Every process stops honouring it within a second."))
    return HttpResponseRedirect(reverse("access-review"))


@never_cache
@require_safe
def proposals(request: HttpRequest) -> HttpResponse:
    """Rights that nobody used for the tenant's time."""
    principal = principal_of(request)
    tenant_id = own_tenant(principal)
    require(principal, "privilege.right.view", tenant_id=tenant_id)
    context = {
        "proposals": selectors.open_proposals(tenant_id),
        "settings": selectors.settings_of(tenant_id),
        "may_remove": decide(principal, "privilege.right.remove", tenant_id=tenant_id).allow,
    }
    return render(request, "privilege/proposals.html", context)


@require_POST
def decide_proposal(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    """Remove a proposed right, or keep it."""
    remove_it = request.POST.get("verdict") == "remove"
    removing.decide_proposal(
        principal=principal_of(request),
        proposal_id=proposal_id,
        remove=remove_it,
        reason=request.POST.get("reason", "") or (_("unused") if remove_it else _("still needed")),
    )
    messages.success(request, _("Removed.") if remove_it else _("Kept."))
    return HttpResponseRedirect(reverse("removal-proposals"))
