"""What every page's frame needs: navigation, tenants to choose from, who is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from governance.access.decisions import decide
from governance.access.principals import memberships_of
from governance.access.requests import principal_of
from governance.audit.models import ChainVerification
from governance.audit.selectors import broken_chains
from governance.oversight.policies import RESPONSIBLE
from governance.oversight.selectors import escalated
from governance.privilege.models import Elevation
from governance.privilege.selectors import glass_alarms
from governance.tenants.labels import role_label
from openclaw_site.console.navigation import Group, navigation

ALARMS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class TenantChoice:
    """A tenant that the person may work in."""

    id: UUID
    name: str
    current: bool


@dataclass(frozen=True, slots=True)
class Shell:
    """The frame's contents."""

    signed_in: bool
    user_name: str
    roles: str
    tenant_name: str
    tenants: list[TenantChoice]
    navigation: list[Group]
    alarms: list[Elevation]
    broken_chains: list[ChainVerification]
    escalated: int = 0


def shell(request: HttpRequest) -> dict[str, Any]:
    """Template context processor; costs nothing on pages without the frame."""
    return {"shell": SimpleLazyObject(lambda: build_shell(request))}


def build_shell(request: HttpRequest) -> Shell:
    """Two queries: the person's memberships with their tenants, and open emergency access.

    A third for those who may see chains: which are broken; one for those whom overdue decisions go to: how many.
    """
    principal = principal_of(request)
    if not principal.is_authenticated:
        return Shell(False, "", "", "", [], [], [], [])
    memberships = memberships_of(request.user)  # type: ignore[arg-type]
    names = {m.tenant_id: m.tenant.name for m in memberships}
    return Shell(
        signed_in=True,
        user_name=request.user.get_full_name() or principal.label,  # type: ignore[union-attr]
        roles=", ".join(role_label(role) for role in sorted(principal.roles)),
        tenant_name=names.get(principal.tenant_id, "") if principal.tenant_id else "",
        tenants=[TenantChoice(key, name, key == principal.tenant_id) for key, name in names.items()],
        navigation=navigation(request),
        # Emergency access is told to everybody whom row security shows it: the tenant's people and the platform's.
        alarms=list(glass_alarms()[:ALARMS_SHOWN]),
        # A broken chain is told to those who may see chains.
        broken_chains=list(broken_chains()[:ALARMS_SHOWN])
        if decide(principal, "audit.chain.view").allow
        else [],
        escalated=escalated().count() if principal.has_role(*RESPONSIBLE) else 0,
    )
