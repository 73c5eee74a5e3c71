"""Could anybody still change the policies? Asked before a text is proposed and again before it is in force."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from governance.access.cedar.engine import PolicyBook
from governance.access.cedar.requests import request_of
from governance.access.conditions import Question
from governance.access.rules import names_of
from governance.ids import uuid7
from governance.principals import PLATFORM_ROLES, Device, Factor, Principal, Role, Signals
from governance.refs import ObjectRef
from governance.tenants.models import Membership, Tenant

PROPOSE, ACTIVATE = "policies.version.propose", "policies.version.activate"
REAL_ADMINISTRATORS = 4
HOURS_OF_A_WEEK = 7 * 24


def can_still_be_changed(book: PolicyBook, tenant: Tenant) -> bool:
    """Whether two administrators with the best proof of identity can propose and activate a change under `book`.

    Tried are two people who might be given the role and some who have it. Policies that look at the clock are tried at
    every hour of a week, because a right that comes back on Monday is not lost.
    """
    now = time.time()
    clocked = book.watches_the_clock(names_of(PROPOSE)) or book.watches_the_clock(names_of(ACTIVATE))
    people = list(_administrators(tenant))
    return any(
        _two_can(book, tenant.id, people, now + hour * 3600)
        for hour in range(HOURS_OF_A_WEEK if clocked else 1)
    )


def _two_can(book: PolicyBook, tenant_id: UUID, people: list[Principal], now: float) -> bool:
    admins = [replace(person, signals=_proven(now)) for person in people]
    return any(
        _allows(book, second, ACTIVATE, tenant_id, now, {"requested_by": str(first.accountable_user_id)})
        for first in admins
        if _allows(book, first, PROPOSE, tenant_id, now, {})
        for second in admins
        if second is not first
    )


def _allows(
    book: PolicyBook, who: Principal, action: str, tenant_id: UUID, now: float, context: dict[str, str]
) -> bool:
    names = names_of(action)
    target = ObjectRef("policies.policyversion", str(uuid7()))
    request = request_of(
        Question(who, action, target, tenant_id, context), groups=names - {action}, facts={}, now=now
    )
    return book.evaluate(request, names).allow


def _administrators(tenant: Tenant) -> Iterator[Principal]:
    """Two who might become administrators, and some who are: of the tenant itself where its kind has the role."""
    own = tenant.kind == Tenant.Kind.ORGANISATION
    role = Role.TENANT_ADMIN if own else Role.PLATFORM_ADMIN
    rows = Membership.objects.filter(role=role, user__is_active=True)
    if own:
        rows = rows.filter(tenant=tenant)
    accounts = list(rows.order_by("created_at").values_list("user_id", "tenant_id")[:REAL_ADMINISTRATORS])
    for account, home in [*accounts, (uuid7(), tenant.id), (uuid7(), tenant.id)]:
        yield at_best(account, home=home, roles=frozenset({role}), now=0.0)


def at_best(account: UUID, *, home: UUID, roles: frozenset[Role], now: float) -> Principal:
    """A person who has just shown a passkey on a device that complies."""
    return Principal(
        kind="user",
        id=str(account),
        label="",
        tenant_id=home,
        roles=roles,
        user_id=account,
        accountable_user_id=account,
        platform=not roles.isdisjoint(PLATFORM_ROLES),
        signals=_proven(now),
    )


def _proven(now: float) -> Signals:
    return Signals(factor=Factor.PASSKEY, factor_at=now, bound=True, device=Device.COMPLIANT)
