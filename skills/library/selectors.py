"""Reading the library of skills."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from governance.principals import Principal
from governance.refs import ObjectRef
from skills.library.models import Skill, SkillCall, SkillVersion


def visible_skills(principal: Principal) -> QuerySet[Skill]:
    """The skills of the principal's tenant (every tenant's for the platform)."""
    rows = Skill.objects.select_related("active_version")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def visible_calls(principal: Principal) -> QuerySet[SkillCall]:
    """The calls within the principal's tenant (everywhere for the platform)."""
    rows = SkillCall.objects.select_related("skill_version__skill")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def callable_version(*, tenant_id: UUID, name: str, version: str | None = None) -> SkillVersion | None:
    """The version that answers: the active one, or the ready one that is named. One query."""
    rows = SkillVersion.objects.select_related("skill").filter(
        tenant_id=tenant_id, skill__name=name, state=SkillVersion.State.READY
    )
    if version is not None:
        return rows.filter(version=version).first()
    return next((row for row in rows if row.skill.active_version_id == row.id), None)


def versions_behind(skill: ObjectRef) -> list[ObjectRef]:
    """The versions of a skill that can be called. One query."""
    ids = SkillVersion.objects.filter(skill_id=skill.id, state=SkillVersion.State.READY).values_list(
        "id", flat=True
    )
    return [ObjectRef("library.skillversion", str(id_)) for id_ in ids]


def versions_from(source: ObjectRef, *, tenant_id: UUID) -> QuerySet[SkillVersion]:
    """The tenant's versions that were made from a source, for example from one plugin version."""
    return SkillVersion.objects.select_related("skill").filter(
        source_type=source.type, source_id=source.id, tenant_id=tenant_id
    )
