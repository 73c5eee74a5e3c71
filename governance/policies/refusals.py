"""A refusal as it was kept, and who could help with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from governance.access.cedar.requests import request_of
from governance.access.cedar.source import book_for
from governance.access.conditions import Question
from governance.access.decisions import decide
from governance.access.facts import facts_of
from governance.access.rules import ActionRule, names_of, rule_for
from governance.audit.models import AuditEntry
from governance.policies.lockout import PROPOSE, at_best
from governance.policies.models import DecisionRecord
from governance.principals import PLATFORM_ROLES, Principal, Role
from governance.refs import ObjectRef
from governance.tenants.labels import role_label
from governance.tenants.models import Membership

NAMES_SHOWN = 20
BY_RIGHTS = frozenset({"none", "scope"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused to whom, from wherever it was kept. `context` are the facts that policies were told.

    `obligations` are the duties of a yes that came to nothing because somebody did not fulfil them.
    """

    tenant_id: UUID
    actor_id: str
    action: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    helps: tuple[str, ...]
    target: ObjectRef | None
    context: dict[str, Any]
    obligations: tuple[str, ...] = ()

    @classmethod
    def of_record(cls, record: DecisionRecord) -> Refusal:
        """A recorded decision."""
        context = record.request.get("context", {})
        return cls(
            record.tenant_id,
            record.principal_id,
            record.action,
            tuple(record.rules),
            tuple(record.reasons),
            tuple(record.helps),
            ObjectRef(record.target_type, record.target_id) if record.target_id else None,
            {name: value for name, value in context.items() if name not in ("now", "hour", "weekday")},
        )

    @classmethod
    def of_entry(cls, entry: AuditEntry) -> Refusal:
        """A refusal in the audit log."""
        return cls(
            entry.tenant_id,
            entry.actor_id,
            entry.action,
            tuple(entry.details.get("rules") or ()),
            (entry.reason,) if entry.reason else (),
            tuple(entry.details.get("helps") or ()),
            ObjectRef(entry.target_type, entry.target_id) if entry.target_id else None,
            {},
            tuple(entry.details.get("obligations") or ()),
        )


@dataclass(frozen=True, slots=True)
class Help:
    """Who can help, by name where the viewer may see memberships.

    `people` could do it now, by their roles and under the present policies; `changers` could propose other policies,
    told where nobody could do it. `roles` are those that allow the action, told where a role is what was missing.
    """

    people: tuple[str, ...] = ()
    more_people: int = 0
    changers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


def who_can_help(viewer: Principal, refusal: Refusal) -> Help:
    """Whoever could have done it instead of the one who was refused."""
    rule = rule_for(refusal.action)
    if rule is None:
        return Help()
    roles: tuple[str, ...] = ()
    if not BY_RIGHTS.isdisjoint(refusal.rules):
        roles = tuple(role_label(Role(role)) for role in sorted(rule.roles - {Role.SYSTEM}))
    if not decide(viewer, "tenants.membership.view", tenant_id=refusal.tenant_id).allow:
        return Help(roles=roles)
    able = [name for person, name in _members(viewer, refusal, rule) if _may(person, refusal.action, refusal)]
    changers: list[str] = []
    if not able and BY_RIGHTS.isdisjoint(refusal.rules):
        may_propose = rule_for(PROPOSE)
        assert may_propose is not None
        changers = [
            name
            for person, name in _members(viewer, replace(refusal, actor_id=""), may_propose)
            if _may(person, PROPOSE, replace(refusal, target=None, context={}))
        ]
    return Help(
        people=tuple(able[:NAMES_SHOWN]),
        more_people=max(0, len(able) - NAMES_SHOWN),
        changers=tuple(changers[:NAMES_SHOWN]),
        roles=roles,
    )


def _members(viewer: Principal, refusal: Refusal, rule: ActionRule) -> list[tuple[Principal, str]]:
    """People whose role allows the action in the tenant, as if with the best proof of identity."""
    places = {refusal.tenant_id, viewer.tenant_id} if viewer.platform else {refusal.tenant_id}
    rows = Membership.objects.filter(
        role__in=rule.roles,
        user__is_active=True,
        user__is_service_account=False,
        tenant_id__in=[place for place in places if place],
    )
    now = time.time()
    found: dict[UUID, tuple[Principal, str]] = {}
    for row in rows.select_related("user").order_by("user__username")[: 5 * NAMES_SHOWN]:
        role = Role(row.role)
        if str(row.user_id) == refusal.actor_id or (
            row.tenant_id != refusal.tenant_id and role not in PLATFORM_ROLES
        ):
            continue
        known = found.get(row.user_id)
        roles = (known[0].roles if known else frozenset()) | {role}
        person = at_best(row.user_id, home=row.tenant_id, roles=roles, now=now)
        found[row.user_id] = person, row.user.get_full_name() or row.user.get_username()
    return list(found.values())


def _may(person: Principal, action: str, refusal: Refusal) -> bool:
    """Whether the present policies let the person do it."""
    names = names_of(action)
    request = request_of(
        Question(person, action, refusal.target, refusal.tenant_id, refusal.context),
        groups=names - {action},
        facts=facts_of(refusal.target, refusal.tenant_id),
    )
    return book_for(refusal.tenant_id).evaluate(request, names).allow
