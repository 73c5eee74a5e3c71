"""The policy decision point: every face asks `decide`, and what no rule allows is refused (NIST SP 800-207, tenet 3-6).

Each app registers its actions with an `ActionRule`. A rule says which roles, which object grant and which OAuth 2.0
scopes make an action possible. Later policies (Cedar) will narrow these answers; they will never widen them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.access.grants import has_grant
from governance.decision import Decision
from governance.errors import AccessDenied
from governance.principals import PLATFORM_ROLES, Principal, Role
from governance.refs import ObjectRef

Resource = ObjectRef | models.Model | None


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What makes an action possible.

    Allowed when (a role of the principal is in `roles` and fits the resource's tenant, or the principal's account
    holds the django-guardian permission `grant` on the resource) and (no token limits the principal, or the token has
    one of `scopes`). `anonymous` is for the few things that the world may read; `cross_tenant` lets a tenant role act
    on an object that row security shows it although another tenant owns it (a published plugin).
    """

    action: str
    roles: frozenset[Role] | set[Role] = field(default_factory=frozenset)
    scopes: frozenset[str] | set[str] = field(default_factory=frozenset)
    grant: str = ""
    anonymous: bool = False
    cross_tenant: bool = False


_rules: dict[str, ActionRule] = {}
_version: str | None = None


def register(*rules: ActionRule) -> None:
    """Make actions known. A second, different rule for one action is a programming error."""
    global _version
    for rule in rules:
        if _rules.setdefault(rule.action, rule) != rule:
            raise ValueError(f"The action {rule.action} is registered twice.")
    _version = None


def registered_actions() -> dict[str, ActionRule]:
    """Every action that can be decided about, by name."""
    return dict(_rules)


def policy_version() -> str:
    """A short digest of all rules in force; it is written beside every decision."""
    global _version
    if _version is None:
        text = "\n".join(
            f"{r.action} {sorted(r.roles)} {sorted(r.scopes)} {r.grant} {r.anonymous} {r.cross_tenant}"
            for r in sorted(_rules.values(), key=lambda rule: rule.action)
        )
        _version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return _version


def decide(
    principal: Principal,
    action: str,
    resource: Resource = None,
    *,
    tenant_id: UUID | None = None,
    context: dict[str, Any] | None = None,
) -> Decision:
    """May `principal` do `action` on `resource`? Costs at most one query, for the object grant.

    `tenant_id` says whose thing it is where the resource does not (an `ObjectRef`); without either, the principal's
    own tenant is meant. `context` carries facts of the moment for conditional policies.
    """
    target = resource if isinstance(resource, ObjectRef) or resource is None else ObjectRef.of(resource)
    owner = tenant_id or getattr(resource, "tenant_id", None) or principal.tenant_id
    allow, reason = _evaluate(principal, _rules.get(action), target, owner)
    return Decision(
        allow=allow,
        action=action,
        reasons=(reason,),
        principal=principal,
        target=target,
        tenant_id=owner,
        policy_version=policy_version(),
    )


def require(
    principal: Principal,
    action: str,
    resource: Resource = None,
    *,
    tenant_id: UUID | None = None,
    context: dict[str, Any] | None = None,
) -> Decision:
    """Like `decide`, but raises `AccessDenied`, which every face audits and turns into a clear answer."""
    decision = decide(principal, action, resource, tenant_id=tenant_id, context=context)
    if not decision.allow:
        raise AccessDenied(
            _("You may not do this."),
            decision=decision,
            hint=_("Ask an administrator of your organisation for the right “%(action)s”.")
            % {"action": action},
        )
    return decision


def _evaluate(
    principal: Principal, rule: ActionRule | None, target: ObjectRef | None, owner: UUID | None
) -> tuple[bool, str]:
    if rule is None:
        return False, "no rule allows this action"
    if rule.anonymous:
        return True, "open to everybody"
    if not principal.is_authenticated:
        return False, "not signed in"
    if principal.scopes is not None and rule.scopes.isdisjoint(principal.scopes):
        return (
            False,
            f"the token lacks the scope {' or '.join(sorted(rule.scopes)) or '(no token may do this)'}",
        )
    for role in sorted(principal.roles & frozenset(rule.roles)):
        if role in PLATFORM_ROLES or owner == principal.tenant_id or rule.cross_tenant:
            return True, f"role {role.value}"
    if rule.grant and target is not None and principal.user_id is not None and owner == principal.tenant_id:
        if has_grant(user_id=principal.user_id, permission=rule.grant, object_id=target.id):
            return True, f"grant {rule.grant}"
        return False, f"neither a role nor the grant {rule.grant} allows it"
    return False, "no role of the principal allows it"
