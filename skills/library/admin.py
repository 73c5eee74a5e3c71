"""Console pages of skills, their versions and calls."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from governance.access.admin_base import DecisionInline, DecisionModelAdmin, link_to, short_digest
from skills.library.models import Skill, SkillCall, SkillVersion


class VersionInline(DecisionInline):
    """The skill's versions."""

    model = SkillVersion
    fk_name = "skill"
    fields = ("version", "state", "entrypoint", "timeout_s", "memory_mb", "created_at")
    readonly_fields = fields


@admin.register(Skill)
class SkillAdmin(DecisionModelAdmin):
    """Skills by tenant."""

    view_action = "library.skill.view"
    list_display = ("name", "tenant", "active_version", "created_at")
    list_filter = (("created_at", admin.DateFieldListFilter),)
    search_fields = ("name", "tenant__name")
    list_select_related = ("tenant", "active_version__skill")
    inlines = (VersionInline,)


@admin.register(SkillVersion)
class SkillVersionAdmin(DecisionModelAdmin):
    """Immutable bundles."""

    view_action = "library.skill.view"
    list_display = (
        "skill_link",
        "version",
        "state",
        "timeout_s",
        "memory_mb",
        "digest",
        "source_label",
        "created_at",
    )
    list_display_links = ("version",)
    list_filter = ("state", ("created_at", admin.DateFieldListFilter))
    search_fields = ("skill__name", "version", "sha256", "source_label")
    list_select_related = ("skill",)

    @admin.display(description=_("skill"), ordering="skill__name")
    def skill_link(self, version: SkillVersion) -> str:
        return link_to(version.skill)

    @admin.display(description=_("digest"))
    def digest(self, version: SkillVersion) -> str:
        return short_digest(version.sha256)


@admin.register(SkillCall)
class SkillCallAdmin(DecisionModelAdmin):
    """What calls came to; neither input nor output is kept."""

    view_action = "library.skill.view"
    list_display = ("at", "skill_version", "status", "wall_s", "principal_label", "request_id")
    list_filter = ("status", ("at", admin.DateFieldListFilter))
    search_fields = ("skill_version__skill__name", "principal_label", "request_id")
    list_select_related = ("skill_version__skill",)
