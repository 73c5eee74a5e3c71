"""A tenant's administrators: identity providers, rules of sign-in, open sessions, people's second factors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import Conflict, InvalidInput, NotFound
from governance.identity import selectors
from governance.identity.forms import PolicyForm, ProviderForm
from governance.identity.models import IdentityProvider
from governance.identity.services import factors, policy, providers, sessions
from governance.principals import Principal
from governance.tenants.models import Tenant


def _tenant_id(principal: Principal) -> UUID:
    if principal.tenant_id is None:
        require(principal, "site.console.open")
        raise InvalidInput(_("Choose a tenant first."))
    return principal.tenant_id


@never_cache
@require_safe
def provider_list(request: HttpRequest) -> HttpResponse:
    """The company's own sign-ins."""
    principal = principal_of(request)
    require(principal, "identity.provider.view")
    tenant = Tenant.objects.get(pk=_tenant_id(principal))
    context = {
        "providers": selectors.providers(tenant.pk),
        "may_manage": decide(principal, "identity.provider.manage").allow,
        "address": request.build_absolute_uri(reverse("company-sign-in")) + f"?company={tenant.slug}",
        "slug": tenant.slug,
    }
    return render(request, "identity/providers.html", context)


@never_cache
@sensitive_post_parameters("client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
def provider_new(request: HttpRequest) -> HttpResponse:
    """Add one."""
    principal = principal_of(request)
    require(principal, "identity.provider.manage")
    form = _form(request, principal, None)
    if request.method == "POST" and form.is_valid():
        given = {name: value for name, value in form.cleaned_data.items() if name != "enabled"}
        try:
            providers.add_provider(principal=principal, tenant_id=_tenant_id(principal), **given)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Your people can sign in with it now."))
            return HttpResponseRedirect(reverse("identity-providers"))
    return render(request, "identity/provider.html", {"form": form, "provider": None})


@never_cache
@sensitive_post_parameters("client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
def provider_change(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Change one."""
    principal = principal_of(request)
    found = selectors.providers(_tenant_id(principal)).filter(pk=provider_id).first()
    if found is None:
        raise NotFound(_("There is no such identity provider."))
    require(principal, "identity.provider.manage", found)
    form = _form(request, principal, found)
    if request.method == "POST" and form.is_valid():
        try:
            providers.change_provider(principal=principal, provider_id=found.pk, **form.cleaned_data)
        except InvalidInput as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(reverse("identity-providers"))
    context = {
        "form": form,
        "provider": found,
        "callback": request.build_absolute_uri(reverse("company-callback", args=[found.pk])),
    }
    return render(request, "identity/provider.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: HttpRequest) -> HttpResponse:
    """Who needs a second factor, and how long sessions last."""
    principal = principal_of(request)
    require(principal, "identity.policy.view")
    tenant = Tenant.objects.get(pk=_tenant_id(principal))
    known = policy.people_roles(tenant)
    kept = selectors.policy_of(tenant.pk)
    initial = {
        "second_factor_roles": kept.second_factor_roles,
        "session_hours": kept.session_hours,
        "idle_minutes": kept.idle_minutes,
    }
    form = PolicyForm(request.POST or None, roles=known, initial=initial)
    if request.method == "POST":
        require(principal, "identity.policy.manage")
        if form.is_valid():
            policy.set_policy(principal=principal, tenant_id=tenant.pk, **form.cleaned_data)
            messages.success(request, _("Saved. Open sessions keep to it within a minute."))
            return HttpResponseRedirect(reverse("identity-rules"))
    context = {
        "form": form,
        "may_manage": decide(principal, "identity.policy.manage").allow,
        "without": [
            row
            for row in selectors.people(tenant.pk)
            if not row.second_factor and set(row.roles) & set(kept.second_factor_roles)
        ],
    }
    return render(request, "identity/rules.html", context)


@never_cache
@require_safe
def session_list(request: HttpRequest) -> HttpResponse:
    """Who is signed in here now."""
    principal = principal_of(request)
    require(principal, "identity.session.view")
    context = {
        "sessions": selectors.sessions(_tenant_id(principal))[:500],
        "may_end": decide(principal, "identity.session.end").allow,
    }
    return render(request, "identity/sessions.html", context)


@require_POST
def session_end(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """End a session."""
    ended = sessions.end(
        principal=principal_of(request), session_id=session_id, reason=request.POST.get("reason", "")
    )
    messages.success(request, _("The session of %(name)s has ended.") % {"name": ended.user})
    return HttpResponseRedirect(reverse("identity-sessions"))


@never_cache
@require_safe
def people(request: HttpRequest) -> HttpResponse:
    """Who has which second factors."""
    principal = principal_of(request)
    require(principal, "identity.session.view")
    context = {
        "people": selectors.people(_tenant_id(principal)),
        "may_reset": decide(principal, "identity.factor.reset").allow,
        "may_end": decide(principal, "identity.session.end").allow,
    }
    return render(request, "identity/people.html", context)


@require_POST
def person_reset(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Take a person's second factors away."""
    principal = principal_of(request)
    count = factors.reset(
        principal=principal,
        user_id=user_id,
        tenant_id=_tenant_id(principal),
        reason=request.POST.get("reason", ""),
    )
    messages.success(
        request,
        _("Second factors taken away: %(count)d. Every session of the account has ended.") % {"count": count},
    )
    return HttpResponseRedirect(reverse("identity-people"))


@require_POST
def person_end_sessions(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """End a person's sessions here."""
    principal = principal_of(request)
    count = sessions.end_of_person(
        principal=principal,
        user_id=user_id,
        tenant_id=_tenant_id(principal),
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, _("Sessions ended: %(count)d.") % {"count": count})
    return HttpResponseRedirect(reverse("identity-people"))


def _form(request: HttpRequest, principal: Principal, provider: IdentityProvider | None) -> ProviderForm:
    tenant = Tenant.objects.get(pk=_tenant_id(principal))
    initial: dict[str, Any] = {"enabled": True, "group_claim": "groups"}
    if provider is not None:
        initial = {
            "name": provider.name,
            "group_claim": provider.group_claim,
            "enabled": provider.enabled,
            "internal_network": provider.internal_network,
            "mappings": "\n".join(f"{row.value} = {row.role}" for row in provider.mappings.all()),
        }
    form = ProviderForm(
        request.POST or None,
        roles=policy.people_roles(tenant),
        new=provider is None,
        internal=decide(principal, "identity.provider.internal").allow,
        initial=initial,
    )
    if provider is None:
        del form.fields["enabled"]
    return form
