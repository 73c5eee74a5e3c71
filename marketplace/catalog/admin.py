"""Console pages of the catalogue."""

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
    short_digest,
)
from governance.access.decisions import decide
from governance.access.requests import principal_of
from marketplace.catalog.models import Partner, PartnerApplication, Plugin, PluginVersion
from marketplace.catalog.partners import verify_partner


@admin.register(Partner)
class PartnerAdmin(DecisionModelAdmin):
    """Who publishes plugins."""

    view_action = "catalog.application.view"
    list_display = ("display_name", "slug", "verified", "listed", "created_at")
    list_filter = ("verified", "listed")
    search_fields = ("display_name", "slug")
    actions = ("verify", "unverify")

    def has_verify_permission(self, request: HttpRequest) -> bool:
        return decide(principal_of(request), "catalog.partner.verify").allow

    @admin.action(description=gettext_lazy("Mark as verified"), permissions=["verify"])
    def verify(self, request: HttpRequest, rows: QuerySet[Partner]) -> None:
        """The platform has checked who they are."""
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda p: verify_partner(principal=who, partner_id=p.pk, verified=True),
            _("Verified"),
        )

    @admin.action(description=gettext_lazy("Take the verification back"), permissions=["verify"])
    def unverify(self, request: HttpRequest, rows: QuerySet[Partner]) -> None:
        """The platform no longer vouches for them."""
        who = principal_of(request)
        self.try_each(
            request,
            rows,
            lambda p: verify_partner(principal=who, partner_id=p.pk, verified=False),
            _("Taken back"),
        )


@admin.register(PartnerApplication)
class PartnerApplicationAdmin(DecisionModelAdmin):
    """Applications; decisions are made on the page “Partner applications”."""

    view_action = "catalog.application.view"
    list_display = ("name", "slug", "applicant", "state", "applied_at", "decided_by", "decided_at")
    list_filter = ("state",)
    search_fields = ("name", "slug", "applicant__username")
    list_select_related = ("applicant", "decided_by")


class VersionInline(DecisionInline):
    """The plugin's versions."""

    model = PluginVersion
    fields = ("version", "state", "risk_level", "created_at", "published_at")
    readonly_fields = fields


@admin.register(Plugin)
class PluginAdmin(DecisionModelAdmin):
    """Plugins and their versions."""

    view_action = "catalog.plugin.view"
    list_display = ("slug", "partner", "listed", "created_at")
    list_filter = ("listed", "partner")
    search_fields = ("slug", "description", "partner__display_name")
    list_select_related = ("partner",)
    inlines = (VersionInline,)


@admin.register(PluginVersion)
class PluginVersionAdmin(DecisionModelAdmin):
    """Versions, from review to circulation."""

    view_action = "catalog.plugin.view"
    list_display = ("plugin_link", "version", "state", "risk_level", "digest", "created_at", "published_at")
    list_filter = ("state", "risk_level", "purpose")
    search_fields = ("plugin__slug", "version", "sha256")
    list_select_related = ("plugin__partner",)

    @admin.display(description=gettext_lazy("plugin"), ordering="plugin__slug")
    def plugin_link(self, version: PluginVersion) -> str:
        return link_to(version.plugin)

    @admin.display(description=gettext_lazy("digest"))
    def digest(self, version: PluginVersion) -> str:
        return short_digest(version.sha256)
