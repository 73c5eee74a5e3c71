"""Signing in and choosing a tenant."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from governance.access.middleware import SESSION_TENANT
from governance.access.principals import memberships_of
from governance.access.requests import principal_of
from governance.audit.services import record
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


@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Work in another of one's tenants from now on."""
    user = request.user
    wanted = request.POST.get("tenant", "")
    if isinstance(user, User) and wanted in {str(m.tenant_id) for m in memberships_of(user)}:
        request.session[SESSION_TENANT] = wanted
    return HttpResponseRedirect(reverse("home"))
