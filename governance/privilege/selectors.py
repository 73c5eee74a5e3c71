"""Reading rights: who has what, how often it was used, what waits for somebody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from guardian.models import UserObjectPermission

from governance.access.grants import objects_of
from governance.privilege.models import (
    BreakGlassHolder,
    Elevation,
    PrivilegeSettings,
    RemovalProposal,
    RightKind,
    RightUse,
)
from governance.privilege.things import Thing, roles_that_use
from governance.tenants.models import Membership, User


@dataclass(frozen=True, slots=True)
class Right:
    """One right of one account, with its use. `object_type` is `app.model`; both are empty for a role."""

    account: User
    kind: RightKind
    name: str
    object_type: str = ""
    object_id: str = ""
    object_label: str = ""
    count: int = 0
    watched_since: datetime | None = None
    last_used_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def key(self) -> tuple[UUID, str, str, str]:
        """What tells it from the others of the tenant."""
        return (self.account.id, str(self.kind), self.name, self.object_id)


def settings_of(tenant_id: UUID) -> PrivilegeSettings:
    """The tenant's bounds, or the defaults."""
    return PrivilegeSettings.objects.filter(tenant_id=tenant_id).first() or PrivilegeSettings(
        tenant_id=tenant_id
    )


def rights(
    tenant_id: UUID,
    *,
    account_ids: Iterable[UUID] | None = None,
    object_id: str = "",
    thing: Thing | None = None,
) -> list[Right]:
    """Every role and grant in a tenant, people first, with its use; of these accounts only.

    Of a `thing` only what lets somebody use it: grants on it, and roles that the rules of its actions name; with an
    `object_id` alone, whose kind nobody says, the grants. Costs five queries and one per kind of object, however many
    rights there are.
    """
    memberships = Membership.in_force.filter(tenant_id=tenant_id).select_related("user__service_application")
    if account_ids is not None:
        memberships = memberships.filter(user_id__in=list(account_ids))
    accounts = {membership.user_id: membership.user for membership in memberships}
    uses = {
        (use.account_id, use.kind, use.name, use.object_id): use
        for use in RightUse.objects.filter(tenant_id=tenant_id, account_id__in=accounts)
    }
    grants = UserObjectPermission.objects.filter(user_id__in=accounts).select_related(
        "permission__content_type"
    )
    if thing is not None:
        model = ContentType.objects.get_by_natural_key(*thing.type.split("."))
        grants = grants.filter(object_pk=thing.id, content_type=model)
        memberships = memberships.filter(role__in=roles_that_use(thing.type))
    elif object_id:
        grants = grants.filter(object_pk=object_id)
        memberships = memberships.none()
    rows = list(grants)
    objects = objects_of(rows, tenant_id)
    found = [_of_membership(membership, uses) for membership in memberships]
    # An account may have grants of other tenants, too; they are nobody's business here.
    for row in rows:
        if (item := objects.get((row.content_type_id, row.object_pk))) is not None:
            found.append(_of_grant(row, accounts[row.user_id], str(item), uses))
    return sorted(
        found,
        key=lambda right: (right.account.is_service_account, right.account.username, right.kind, right.name),
    )


def _of_membership(membership: Membership, uses: dict[tuple[UUID, str, str, str], RightUse]) -> Right:
    use = uses.get((membership.user_id, RightKind.ROLE.value, membership.role, ""))
    return Right(
        account=membership.user,
        kind=RightKind.ROLE,
        name=membership.role,
        count=use.count if use else 0,
        watched_since=use.first_seen_at if use else None,
        last_used_at=use.last_used_at if use else None,
        ends_at=membership.expires_at,
    )


def _of_grant(
    row: UserObjectPermission,
    account: User,
    label: str,
    uses: dict[tuple[UUID, str, str, str], RightUse],
) -> Right:
    content_type = row.permission.content_type
    name = f"{content_type.app_label}.{row.permission.codename}"
    use = uses.get((account.id, RightKind.GRANT.value, name, row.object_pk))
    return Right(
        account=account,
        kind=RightKind.GRANT,
        name=name,
        object_type=f"{content_type.app_label}.{content_type.model}",
        object_id=row.object_pk,
        object_label=label,
        count=use.count if use else 0,
        watched_since=use.first_seen_at if use else None,
        last_used_at=use.last_used_at if use else None,
    )


def elevations(*, tenant_id: UUID, person_id: UUID | None = None) -> QuerySet[Elevation]:
    """Elevations of a tenant, the newest first; of one person where somebody may see only their own."""
    rows = Elevation.objects.filter(tenant_id=tenant_id).select_related("person", "decided_by", "reviewed_by")
    return rows.filter(person_id=person_id) if person_id else rows


def glass_alarms(*, tenant_id: UUID | None = None) -> QuerySet[Elevation]:
    """Emergency access that is in force or that nobody has reviewed yet: what everybody is told about."""
    rows = Elevation.objects.filter(break_glass=True).filter(
        Q(state=Elevation.State.ACTIVE) | Q(reviewed_at=None)
    )
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    return rows.select_related("person", "tenant").order_by("-starts_at")


def open_proposals(tenant_id: UUID) -> QuerySet[RemovalProposal]:
    """Rights proposed for removal, the longest unused first."""
    return RemovalProposal.objects.filter(
        tenant_id=tenant_id, state=RemovalProposal.State.OPEN
    ).select_related("account")


def holders(tenant_id: UUID) -> QuerySet[BreakGlassHolder]:
    """Who may break the glass."""
    return BreakGlassHolder.objects.filter(tenant_id=tenant_id).select_related("person").order_by("person")
