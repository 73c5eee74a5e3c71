"""What the records of skill calls tell an erasure: neither input nor output is kept, only who called."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext as _

from governance.data import erasers, people
from governance.data.erasers import Handled, Outcome
from governance.refs import ObjectRef
from skills.library.models import SkillCall

CALLS = "library.skillcalls"


def _calls_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    if SkillCall.objects.filter(tenant_id=tenant_id, principal_id=subject).exists():
        yield ObjectRef(CALLS, subject, label=str(_("Skill calls of %(key)s")) % {"key": subject})


def _erase(target: ObjectRef, tenant_id: UUID) -> Handled:
    count, _kinds = SkillCall.objects.filter(tenant_id=tenant_id, principal_id=target.id).delete()
    return Handled(Outcome.ERASED, _("%(count)d records were deleted") % {"count": count})


def register_erasers() -> None:
    """Hand the catalogue how the records of a caller are erased."""
    erasers.register(CALLS, erase=_erase, find=_calls_of)
    people.cover(SkillCall, "principal_id", "principal_label")
