"""The console: Django admin in django-unfold's clothes, opened by the decision point instead of `is_staff`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

from governance.access.decisions import decide
from governance.access.requests import principal_of

# Alpine.js, which Unfold's admin pages are built on, compiles the expressions in its attributes with `Function` and
# Unfold writes style attributes; without these two words those pages do not work. They hold for the admin pages
# alone: everything there comes from our own templates and escaped values, nothing is loaded from elsewhere, and
# inline scripts stay forbidden. Every other page keeps the strict policy of the settings.
ADMIN_POLICY = {
    "default-src": [SELF],
    "script-src": [SELF, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "connect-src": [SELF],
    "object-src": [NONE],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}

View = Callable[..., HttpResponseBase]


class Console(UnfoldAdminSite):
    """Who may open the console is a decision like any other."""

    def has_permission(self, request: HttpRequest) -> bool:
        return decide(principal_of(request), "site.console.open").allow

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def with_policy(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            # `has_permission` obeys the same answer; asked here as well, it is recorded as one that was obeyed.
            decide(principal_of(request), "site.console.open", enforced=True)
            response = inner(request, *args, **kwargs)
            setattr(response, "_csp_replace", ADMIN_POLICY)  # noqa: B010  django-csp's own attribute, unknown to the type
            return response

        return with_policy

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one sign-in page; somebody who is signed in but may not open the console goes home."""
        if principal_of(request).is_authenticated:
            return HttpResponseRedirect(reverse("home"))
        return redirect_to_login(request.GET.get("next", reverse("admin:index")))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("home"))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("password-change"))
