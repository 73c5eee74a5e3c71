"""Signing in, choosing a tenant, and the OAuth 2.0 endpoints with their throttles."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited
from oauth2_provider import views as oauth_views

from governance.access.middleware import SESSION_TENANT
from governance.access.principals import memberships_of
from governance.access.requests import principal_of
from governance.audit.services import record
from governance.tenants.context import platform_scope
from governance.tenants.models import User


class SignIn(auth_views.LoginView):
    """The one sign-in page. Service accounts have no password, and django-axes counts failures."""

    template_name = "access/login.html"
    redirect_authenticated_user = True


class ChangePassword(auth_views.PasswordChangeView):
    """One's own password; every other session of the account ends."""

    template_name = "access/password_change.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        record(principal=principal_of(self.request), action="access.password.change")
        messages.success(self.request, _("Your password has been changed."))
        return response


def client_key(group: str, request: HttpRequest) -> str:
    """What token requests are counted by: the client's address and the client id it claims."""
    return f"{request.META.get('REMOTE_ADDR', '')}:{request.POST.get('client_id', '')}"


class ThrottledOAuth(View):
    """The OAuth endpoints run before any tenant is known, so in platform scope, and are rate-limited."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        limited = is_ratelimited(
            request, group="oauth", key=client_key, rate=settings.TOKEN_ENDPOINT_RATE, increment=True
        )
        if limited:
            body = {"error": "slow_down", "error_description": _("Too many requests. Try again in a minute.")}
            return JsonResponse(body, status=429, headers={"Retry-After": "60"})
        with platform_scope(), transaction.atomic():
            return super().dispatch(request, *args, **kwargs)


@method_decorator([csrf_exempt, transaction.non_atomic_requests], name="dispatch")
class Token(ThrottledOAuth, oauth_views.TokenView):
    """RFC 6749 token endpoint."""


@method_decorator([csrf_exempt, transaction.non_atomic_requests], name="dispatch")
class RevokeToken(ThrottledOAuth, oauth_views.RevokeTokenView):
    """RFC 7009 revocation: honoured by every process within a second."""


@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Work in another of one's tenants from now on."""
    user = request.user
    wanted = request.POST.get("tenant", "")
    if isinstance(user, User) and wanted in {str(m.tenant_id) for m in memberships_of(user)}:
        request.session[SESSION_TENANT] = wanted
    return HttpResponseRedirect(reverse("home"))
