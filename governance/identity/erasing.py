"""What an erasure of a person does to their sessions: they end at once, and nothing of them is kept."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext as _

from governance.data import erasers, people
from governance.data.erasers import Handled, Outcome
from governance.identity.models import ProvidedRole, UserSession
from governance.identity.services.sessions import end_of_person
from governance.principals import SYSTEM
from governance.refs import ObjectRef

SESSIONS = "identity.usersessions"


def _sessions_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    try:
        found = UserSession.objects.filter(tenant_id=tenant_id, user_id=UUID(subject)).exists()
    except ValueError:
        return
    if found:
        yield ObjectRef(SESSIONS, subject, label=_("Sessions of %(key)s") % {"key": subject})


def _erase(target: ObjectRef, tenant_id: UUID) -> Handled:
    rows = UserSession.objects.filter(tenant_id=tenant_id, user_id=UUID(target.id))
    if rows.filter(ended_at=None).exists():
        end_of_person(principal=SYSTEM, user_id=UUID(target.id), tenant_id=tenant_id, reason="erased")
    count, _kinds = rows.delete()
    return Handled(Outcome.ERASED, _("%(count)d records were deleted") % {"count": count})


def register_erasers() -> None:
    """Hand the catalogue how sessions and provided roles are erased."""
    erasers.register(SESSIONS, erase=_erase, find=_sessions_of)
    people.forget(ProvidedRole, "user")
