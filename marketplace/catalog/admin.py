"""Console pages of partners, plugins and plugin versions."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.access.admin_base import (
    DecisionInline,
    DecisionModelAdmin,
    link_to,
    principal_of,
    short_digest,
)
from governance.access.decisions import decide
from marketplace.catalog.models import Partner, PartnerApplication, Plugin, PluginVersion
from marketplace.catalog.partners import verify_partner
from marketplace.catalog.services import block_version


class VersionInline(DecisionInline):
    """The plugin's versions."""

    model = PluginVersion
    fields = ("version", "state", "risk_level", "size_bytes", "created_at", "published_at")
    readonly_fields = fields


@admin.register(Partner)
class PartnerAdmin(DecisionModelAdmin):
    """Who publishes."""

    view_action = "catalog.plugin.view"
    list_display = ("display_name", "slug", "verified", "listed", "created_at")
    list_filter = ("verified", "listed")
    search_fields = ("display_name", "slug")
    actions = ("verify", "unverify")

    def has_verify_permission(self, request: HttpRequest) -> bool:
        return decide(principal_of(request), "catalog.partner.verify").allow

    @admin.action(description=gettext_lazy("Mark as verified"), permissions=["verify"])
    def verify(self, request: HttpRequest, rows: QuerySet[Partner]) -> None:
        """The platform has checked who they are."""
        self._set(request, rows, verified=True)

    @admin.action(description=gettext_lazy("Take the verification back"), permissions=["verify"])
    def unverify(self, request: HttpRequest, rows: QuerySet[Partner]) -> None:
        """No longer."""
        self._set(request, rows, verified=False)

    def _set(self, request: HttpRequest, rows: QuerySet[Partner], *, verified: bool) -> None:
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda partner: verify_partner(principal=who, partner_id=partner.pk, verified=verified),
            _("Changed"),
        )


@admin.register(PartnerApplication)
class PartnerApplicationAdmin(DecisionModelAdmin):
    """Who applied; decided on the page “Partner applications”."""

    view_action = "catalog.application.view"
    list_display = ("name", "slug", "state", "applicant", "applied_at", "decided_by", "decided_at")
    list_filter = ("state", ("applied_at", admin.DateFieldListFilter))
    search_fields = ("name", "slug", "applicant__username")
    list_select_related = ("applicant", "decided_by")


@admin.register(Plugin)
class PluginAdmin(DecisionModelAdmin):
    """Plugins."""

    view_action = "catalog.plugin.view"
    list_display = ("slug", "partner_link", "listed", "created_at")
    list_filter = ("listed", ("created_at", admin.DateFieldListFilter))
    search_fields = ("slug", "description", "partner__display_name")
    list_select_related = ("partner",)
    inlines = (VersionInline,)

    @admin.display(description=gettext_lazy("partner"), ordering="partner__display_name")
    def partner_link(self, plugin: Plugin) -> str:
        return link_to(plugin.partner)


@admin.register(PluginVersion)
class PluginVersionAdmin(DecisionModelAdmin):
    """Immutable archives. Blocking one takes it out of the signed repository and suspends its installations."""

    view_action = "catalog.plugin.view"
    list_display = ("plugin_link", "version", "state", "risk_level", "purpose", "digest", "published_at")
    list_display_links = ("version",)
    list_filter = ("state", "risk_level", ("published_at", admin.DateFieldListFilter))
    search_fields = ("plugin__slug", "version", "sha256", "purpose")
    list_select_related = ("plugin",)
    actions = ("block",)

    @admin.display(description=gettext_lazy("plugin"), ordering="plugin__slug")
    def plugin_link(self, version: PluginVersion) -> str:
        return link_to(version.plugin)

    @admin.display(description=gettext_lazy("digest"))
    def digest(self, version: PluginVersion) -> str:
        return short_digest(version.sha256)

    def has_block_permission(self, request: HttpRequest) -> bool:
        return decide(principal_of(request), "catalog.version.block").allow

    @admin.action(description=gettext_lazy("Block: take out of circulation"), permissions=["block"])
    def block(self, request: HttpRequest, rows: QuerySet[PluginVersion]) -> None:
        """Stop the chosen versions everywhere."""
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda v: block_version(principal=who, version_id=v.pk, reason=_("blocked in the console")),
            _("Blocked"),
        )
