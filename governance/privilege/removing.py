"""Taking rights away: at an access review, or because nobody used them for the tenant's time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from guardian.models import UserObjectPermission

from governance.access.decisions import require
from governance.access.grants import grants_in
from governance.access.leaving import keep_an_administrator, left
from governance.audit.services import record
from governance.errors import InvalidInput, NotFound
from governance.principals import SYSTEM, Principal
from governance.privilege import selectors, uses
from governance.privilege.models import RemovalProposal, RightKind
from governance.privilege.selectors import Right
from governance.privilege.states import PROPOSAL_STATES
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership, Tenant, User

State = RemovalProposal.State


@transaction.atomic
def remove_right(
    *,
    principal: Principal,
    tenant_id: UUID,
    account_id: UUID,
    kind: RightKind,
    name: str,
    object_id: str = "",
    reason: str,
) -> None:
    """Take one role or grant away; every process stops honouring it within a second. Raises NotFound, Conflict."""
    require(principal, "privilege.right.remove", tenant_id=tenant_id)
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept in the audit log."))
    _remove(principal, tenant_id, (account_id, kind, name, object_id), reason.strip())


@transaction.atomic
def decide_proposal(*, principal: Principal, proposal_id: UUID, remove: bool, reason: str) -> RemovalProposal:
    """Remove the right, or keep it: a kept right is watched anew for the tenant's time."""
    proposal = RemovalProposal.objects.select_for_update(of=("self",)).filter(pk=proposal_id).first()
    if proposal is None:
        raise NotFound(_("There is no such proposal."))
    require(principal, "privilege.right.remove", proposal)
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept in the audit log."))
    PROPOSAL_STATES.check(proposal.state, State.REMOVED if remove else State.KEPT, principal.roles)
    key = (proposal.account_id, RightKind(proposal.kind), proposal.name, proposal.object_id)
    if remove:
        _remove(principal, proposal.tenant_id, key, reason.strip())
    else:
        record(
            principal=principal,
            action="privilege.right.keep",
            target=ObjectRef.of(proposal.account),
            tenant_id=proposal.tenant_id,
            reason=reason.strip(),
            details={"right": proposal.name, "object": proposal.object_id},
        )
    proposal.state = State.REMOVED if remove else State.KEPT
    proposal.decided_by_id = principal.accountable_user_id
    proposal.decided_at = timezone.now()
    proposal.reason = reason.strip()
    proposal.save()
    return proposal


def propose_removals() -> int:
    """Compare every tenant's rights with their use; run daily. Returns how many are newly proposed.

    A right is watched from the first run that sees it, so a fresh installation proposes nothing for the whole time.
    """
    with platform_scope(), transaction.atomic():
        tenants = list(Tenant.objects.filter(suspended_at=None).values_list("id", flat=True))
    return sum(_propose_in(tenant_id) for tenant_id in tenants)


def _propose_in(tenant_id: UUID) -> int:
    with tenant_context(tenant_id), transaction.atomic():
        found = [right for right in selectors.rights(tenant_id) if right.ends_at is None]
        since = timezone.now() - timedelta(days=selectors.settings_of(tenant_id).unused_after_days)
        kept = {
            (p.account_id, p.kind, p.name, p.object_id)
            for p in RemovalProposal.objects.filter(state=State.KEPT, decided_at__gt=since)
        }
        unused = {right.key: right for right in found if _unused(right, since) and right.key not in kept}
        opened = _open(tenant_id, unused)
        for proposal in RemovalProposal.objects.select_for_update(of=("self",)).filter(state=State.OPEN):
            if (proposal.account_id, proposal.kind, proposal.name, proposal.object_id) not in unused:
                proposal.state = State.STALE
                proposal.save(update_fields=["state"])
    uses.watch((tenant_id, *right.key) for right in found if right.watched_since is None)
    return opened


def _unused(right: Right, since: object) -> bool:
    last = right.last_used_at or right.watched_since
    return last is not None and last < since  # type: ignore[operator]


def _open(tenant_id: UUID, unused: dict[tuple[UUID, str, str, str], Right]) -> int:
    known = {
        (p.account_id, p.kind, p.name, p.object_id)
        for p in RemovalProposal.objects.filter(tenant_id=tenant_id, state=State.OPEN)
    }
    fresh = [right for key, right in unused.items() if key not in known]
    RemovalProposal.objects.bulk_create(_proposals(tenant_id, fresh), ignore_conflicts=True)
    if fresh:
        record(
            principal=SYSTEM,
            action="privilege.right.propose",
            tenant_id=tenant_id,
            details={"count": len(fresh)},
        )
    return len(fresh)


def _proposals(tenant_id: UUID, rights: Iterable[Right]) -> list[RemovalProposal]:
    return [
        RemovalProposal(
            tenant_id=tenant_id,
            account=right.account,
            kind=right.kind,
            name=right.name,
            object_id=right.object_id,
            object_label=right.object_label[:200],
            unused_since=right.last_used_at or right.watched_since or timezone.now(),
        )
        for right in rights
    ]


def _remove(
    principal: Principal, tenant_id: UUID, key: tuple[UUID, RightKind, str, str], reason: str
) -> None:
    account_id, kind, name, object_id = key
    account = User.objects.filter(pk=account_id, memberships__tenant_id=tenant_id).distinct().first()
    if account is None:
        raise NotFound(_("There is no such account in this tenant."))
    if kind == RightKind.ROLE:
        gone = _remove_role(principal, tenant_id, account, name)
    else:
        app_label, _dot, codename = name.partition(".")
        held = UserObjectPermission.objects.filter(
            user=account,
            object_pk=object_id,
            permission__codename=codename,
            permission__content_type__app_label=app_label,
        )
        gone = _remove_grants(grants_in(held, tenant_id))
    if not gone:
        raise NotFound(_("The account does not have this right (any more)."))
    record(
        principal=principal,
        action="privilege.right.remove",
        target=ObjectRef.of(account),
        tenant_id=tenant_id,
        reason=reason,
        details={"right": name, "object": object_id},
    )


def _remove_grants(rows: list[UserObjectPermission]) -> int:
    gone, _kinds = UserObjectPermission.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return gone


def _remove_role(principal: Principal, tenant_id: UUID, account: User, role: str) -> int:
    rows = Membership.objects.filter(tenant_id=tenant_id, user=account, role=role)
    if rows.filter(expires_at=None).exists():
        keep_an_administrator(tenant_id=tenant_id, role=role, without=account.pk)
    gone, _kinds = rows.delete()
    if gone:
        left(principal=principal, user=account, tenant_id=tenant_id)
    return gone
