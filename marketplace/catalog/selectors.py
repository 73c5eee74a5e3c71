"""Reading the catalogue. Row security shows a tenant its own rows and whatever is published."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from governance.principals import Principal
from governance.tenants.context import platform_scope
from marketplace.catalog.models import Partner, Plugin, PluginVersion

State = PluginVersion.State


def catalogue(*, search: str = "") -> QuerySet[Plugin]:
    """Listed plugins, with their published versions (newest first) as `published`; `search` matches words."""
    published = PluginVersion.objects.filter(state=State.PUBLISHED).order_by("-published_at")
    rows = Plugin.objects.filter(Exists(published.filter(plugin_id=OuterRef("pk")))).select_related("partner")
    for word in search.split():
        rows = rows.filter(
            Q(slug__icontains=word)
            | Q(description__icontains=word)
            | Q(partner__display_name__icontains=word)
        )
    return rows.prefetch_related(Prefetch("versions", published, to_attr="published"))


def published_versions() -> QuerySet[PluginVersion]:
    """Every version that can be installed now."""
    return PluginVersion.objects.filter(state=State.PUBLISHED).select_related("plugin__partner")


def partner_of(principal: Principal) -> Partner | None:
    """The profile of the principal's own partner tenant."""
    return Partner.objects.filter(tenant_id=principal.tenant_id).first() if principal.tenant_id else None


def name_is_taken(slug: str, *, tenant_id: UUID) -> bool:
    """Whether another partner owns this plugin name. Looks across tenants and says no more than that."""
    with platform_scope():
        return Plugin.objects.filter(slug=slug).exclude(tenant_id=tenant_id).exists()


def version_in_use(slug: str, version: str, *, tenant_id: UUID) -> PluginVersion | None:
    """A version of this number that stands in the way of another upload of it."""
    return (
        PluginVersion.objects.filter(plugin__slug=slug, version=version, tenant_id=tenant_id)
        .exclude(state__in=[State.REJECTED, State.WITHDRAWN])
        .first()
    )


def last_approved(plugin_slug: str, *, tenant_id: UUID, other_than: UUID) -> PluginVersion | None:
    """The newest version of the plugin that reviewers approved, apart from the submission `other_than`."""
    return (
        PluginVersion.objects.filter(
            plugin__slug=plugin_slug,
            tenant_id=tenant_id,
            state__in=[State.APPROVED, State.PUBLISHED, State.BLOCKED],
        )
        .exclude(submission_id=other_than)
        .order_by("-created_at")
        .first()
    )
