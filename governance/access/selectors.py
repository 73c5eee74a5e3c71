"""Reading identities."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from governance.access.grants import holders
from governance.access.models import Application
from governance.audit.models import AuditEntry
from governance.errors import NotFound
from governance.principals import Principal
from governance.tenants.models import Membership, User


def usable_application(*, application_id: UUID, tenant_id: UUID) -> Application:
    """A tenant's OAuth 2.0 client that is not disabled, with its service account. Raises NotFound."""
    rows = Application.objects.select_related("service_user")
    found = rows.filter(pk=application_id, tenant_id=tenant_id, disabled_at=None).first()
    if found is None:
        raise NotFound(_("There is no such application in this tenant."))
    return found


def applications_by_grant(
    *, tenant_id: UUID, permission: str, object_id: UUID
) -> tuple[list[Application], list[Application]]:
    """A tenant's usable OAuth 2.0 clients: those that hold the permission on the object, and the others."""
    usable = Application.objects.filter(tenant_id=tenant_id, disabled_at=None).order_by("name")
    allowed = set(holders(permission=permission, object_id=str(object_id)).values_list("id", flat=True))
    by_grant: dict[bool, list[Application]] = {True: [], False: []}
    for application in usable:
        by_grant[application.service_user_id in allowed].append(application)
    return by_grant[True], by_grant[False]


def visible_people(principal: Principal) -> QuerySet[User]:
    """The accounts of one's own tenant and nobody else's, for it is no directory; every account for platform roles."""
    rows = User.objects.order_by("username")
    if principal.platform:
        return rows
    if principal.tenant_id is None:
        return rows.none()
    return rows.filter(pk__in=Membership.objects.filter(tenant_id=principal.tenant_id).values("user_id"))


def people_behind(accounts: Iterable[UUID]) -> set[UUID]:
    """The accounts that stand behind these: who owns the program that an account is of, and so on for its owner.

    Of a program that nobody owns, who registered it, as the audit log has it.
    """
    found: set[UUID] = set()
    asked = set(accounts)
    while asked:
        programs = list(Application.objects.filter(service_user_id__in=asked).values_list("pk", "user_id"))
        owners = {owner for _pk, owner in programs if owner is not None}
        asked = (owners | _registrants([pk for pk, owner in programs if owner is None])) - found
        found |= asked
    return found


def _registrants(applications: Iterable[UUID]) -> set[UUID]:
    """Who registered these, where that was a person or a program with an account."""
    wanted = [str(pk) for pk in applications]
    if not wanted:
        return set()
    entries = AuditEntry.objects.filter(
        target_type=Application._meta.label_lower, target_id__in=wanted, action="access.application.create"
    ).values_list("actor_kind", "actor_id")
    by_kind: dict[str, set[str]] = {}
    for kind, actor in entries:
        by_kind.setdefault(kind, set()).add(actor)
    programs = Application.objects.filter(pk__in=by_kind.get("client", ()))
    return {UUID(actor) for actor in by_kind.get("user", ())} | set(
        programs.values_list("service_user_id", flat=True)
    )
