"""The console: Django admin in django-unfold's clothes, opened by the decision point instead of `is_staff`."""

from __future__ import annotations

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from governance.access.decisions import decide


class Console(UnfoldAdminSite):
    """Who may open the console is a decision like any other."""

    def has_permission(self, request: HttpRequest) -> bool:
        return decide(request.principal, "site.console.open").allow  # type: ignore[attr-defined]
