"""Signing in and out: with a password, a passkey, a second factor, or one's company."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from allauth.account.utils import get_next_redirect_url
from allauth.account.views import LoginView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.webauthn.views import LoginWebAuthnView
from django.contrib import messages
from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from governance.identity import oidc
from governance.identity.forms import SecondFactorForm, SignInForm
from governance.identity.mfa import passkeys_work_here
from governance.identity.selectors import sign_in_providers


class SignIn(LoginView):
    """The one sign-in page. Service accounts have no password, and django-axes counts failures."""

    form_class = SignInForm
    template_name = "identity/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "next": get_next_redirect_url(self.request) or "",
            "passkeys": passkeys_work_here(self.request),
        }


class SignOut(LogoutView):
    """Out, by POST only; the session ends everywhere."""


class SecondFactor(AuthenticateView):
    """After the password: a code, or a passkey."""

    form_class = SecondFactorForm
    template_name = "identity/second_factor.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        options = context["js_data"]["request_options"]
        usable = bool(options["publicKey"].get("allowCredentials")) and passkeys_work_here(self.request)
        return context | {"options": json.dumps(options) if usable else ""}


class PasskeySignIn(LoginWebAuthnView):
    """Without a name and password. GET answers the question for the browser's passkeys, as JSON."""

    def form_invalid(self, form: Any) -> HttpResponse:
        messages.error(self.request, _("This passkey did not open an account here."))
        return HttpResponseRedirect(reverse("login"))


@never_cache
@require_http_methods(["GET", "HEAD"])
def company(request: HttpRequest) -> HttpResponse:
    """Which company's sign-in: asked by its short name, so that the page tells nobody who the tenants are."""
    slug = request.GET.get("company", "").strip().lower()
    following = get_next_redirect_url(request) or ""
    found = sign_in_providers(slug) if slug else []
    if len(found) == 1:
        address = reverse("company-begin", args=[found[0].pk])
        query = request.GET.copy()
        query.pop("company", None)
        return HttpResponseRedirect(f"{address}?{query.urlencode()}" if query else address)
    context = {"slug": slug, "providers": found, "next": following}
    return render(request, "identity/company.html", context, status=200 if found or not slug else 404)


@never_cache
@require_safe
def company_begin(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """To the company's provider."""
    return oidc.begin(request, provider_id)


@never_cache
@require_safe
def company_callback(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Back from the company's provider."""
    return oidc.come_back(request, provider_id)
