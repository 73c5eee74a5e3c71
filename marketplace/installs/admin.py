"""Console pages of installations."""

from __future__ import annotations

from django.contrib import admin

from governance.access.admin_base import DecisionInline, DecisionModelAdmin
from marketplace.installs.models import Installation, PermissionGrant


class GrantInline(DecisionInline):
    """The granted rights."""

    model = PermissionGrant
    fields = ("permission", "version", "granted_by", "granted_at")
    readonly_fields = fields


@admin.register(Installation)
class InstallationAdmin(DecisionModelAdmin):
    """What is installed where; changes are made on the page “Installations”."""

    view_action = "installs.installation.view"
    list_display = ("plugin", "version", "active_version", "state", "tenant", "requested_by", "created_at")
    list_filter = ("state",)
    search_fields = ("plugin__slug",)
    list_select_related = ("plugin", "version__plugin", "active_version__plugin", "tenant", "requested_by")
    inlines = (GrantInline,)
