"""Reading installations."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import NotFound
from governance.principals import Principal
from marketplace.catalog.models import PluginVersion
from marketplace.installs.models import Installation

State = Installation.State


@dataclass(frozen=True, slots=True)
class PermissionChanges:
    """What an upgrade asks for compared with what is granted now."""

    asked: list[str]
    added: list[str]
    removed: list[str]


def installations() -> QuerySet[Installation]:
    """The installations that row security shows, without those that were taken away."""
    return (
        Installation.objects.exclude(state=State.UNINSTALLED)
        .select_related("plugin__partner", "version", "active_version", "requested_by")
        .prefetch_related("grants")
        .order_by("-id")
    )


def get_installation(*, principal: Principal, installation_id: UUID) -> Installation:
    """One installation. Raises NotFound."""
    installation = installations().filter(pk=installation_id).first()
    if installation is None:
        raise NotFound(_("There is no such installation."))
    require(principal, "installs.installation.view", installation)
    return installation


def of_plugin(plugin_id: UUID, *, tenant_id: UUID) -> Installation | None:
    """The tenant's installation of a plugin, if there is one."""
    return installations().filter(plugin_id=plugin_id, tenant_id=tenant_id).first()


def granted(installation: Installation) -> list[str]:
    """The rights that are granted to the version in place."""
    return sorted(
        grant.permission
        for grant in installation.grants.all()
        if grant.version_id == (installation.active_version_id or installation.version_id)
    )


def permission_changes(installation: Installation, version: PluginVersion) -> PermissionChanges:
    """What going to `version` would change."""
    now, then = set(granted(installation)), set(version.permissions)
    return PermissionChanges(asked=sorted(then), added=sorted(then - now), removed=sorted(now - then))
