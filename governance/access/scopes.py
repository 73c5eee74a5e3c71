"""The OAuth 2.0 scopes of the platform; what a client may ask for is limited by its `allowed_scopes`."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from oauth2_provider.scopes import BaseScopes

SCOPES = {
    "models:infer": _("Get predictions from endpoints"),
    "models:read": _("Read models, versions and endpoints"),
    "batch:write": _("Start and follow batch predictions"),
    "skills:invoke": _("Call skills"),
    "plugins:read": _("Read one's plugins and submissions"),
    "plugins:write": _("Upload plugin versions and answer reviewers"),
    "tenant:manage": _("Administer one's tenant"),
    "platform:manage": _("Administer the platform: organisations, partners, checks, pools"),
    "requests:decide": _("Decide on requests of others: approvals, oversight tasks, releases"),
    "oversight:act": _("Press stop buttons and ask for their release"),
    "metrics:read": _("Read the site's metrics"),
    "audit:read": _("Read the audit log"),
}

# What only a token may carry that a person has authorised; a program's own would be good for nothing with it.
OF_PEOPLE = frozenset({"platform:manage", "requests:decide", "oversight:act"})


class ApplicationScopes(BaseScopes):
    """What django-oauth-toolkit asks: a token never carries more than its application's `allowed_scopes`."""

    def get_all_scopes(self) -> dict[str, Any]:
        return dict(SCOPES)

    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return list(SCOPES) if application is None else list(application.allowed_scopes)

    def get_default_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return [] if application is None else list(application.allowed_scopes)
