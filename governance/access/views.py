"""Choosing a tenant."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from governance.access.middleware import SESSION_TENANT
from governance.access.principals import memberships_of
from governance.tenants.models import User


@require_POST
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Work in another of one's tenants from now on."""
    user = request.user
    wanted = request.POST.get("tenant", "")
    if isinstance(user, User) and wanted in {str(m.tenant_id) for m in memberships_of(user)}:
        request.session[SESSION_TENANT] = wanted
    return HttpResponseRedirect(reverse("home"))
