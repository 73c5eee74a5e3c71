"""Roles as people read them."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from governance.principals import Role

ROLE_LABELS: dict[Role, Promise] = {
    Role.PLATFORM_ADMIN: _("Platform administrator"),
    Role.REVIEWER: _("Reviewer"),
    Role.ETHICS_OFFICER: _("Ethics officer"),
    Role.AUDITOR: _("Auditor"),
    Role.TENANT_ADMIN: _("Tenant administrator"),
    Role.DEVELOPER: _("Application developer"),
    Role.DATA_SCIENTIST: _("Data scientist"),
    Role.PARTNER: _("Partner"),
    Role.SERVICE: _("Application"),
    Role.SYSTEM: _("System"),
}


def role_label(role: Role) -> str:
    """The role's name in the present language."""
    return str(ROLE_LABELS[role])
