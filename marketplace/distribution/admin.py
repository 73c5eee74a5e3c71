"""Console pages of distribution."""

from __future__ import annotations

from django.contrib import admin

from governance.access.admin_base import DecisionModelAdmin
from marketplace.distribution.models import Release


@admin.register(Release)
class ReleaseAdmin(DecisionModelAdmin):
    """What is (being) published in the signed repository, and why not yet."""

    view_action = "distribution.release.view"
    list_display = (
        "target_path",
        "state",
        "attempts",
        "published_at",
        "removed_at",
        "error",
    )
    list_filter = ("state",)
    search_fields = ("target_path",)
