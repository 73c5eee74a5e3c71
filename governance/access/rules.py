"""Which actions there are, and who may possibly do each: the first half of a decision, registered by every app."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from governance.principals import Role

# Groups name kinds of actions for policies and conditions; an action whose last word is in VIEWS is also a view.
GROUPS = {
    "view": "reads metadata",
    "account": "one's own account: signing in, second factors",
    "administer": "changes rights, settings or the house itself",
    "approve": "decides on a request of somebody else",
    "invoke": "runs a model or a skill",
    "read_data": "reads the content of data or artifacts",
    "move_data": "sends data or artifacts to another place",
    "export": "takes records out of the house",
    "release": "changes what live traffic meets",
}
VIEWS = frozenset({"view", "read", "request"})


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What makes an action possible.

    Allowed when (a role of the principal is in `roles` and fits the resource's tenant, or the principal's account
    holds the django-guardian permission `grant` on the resource) and (no token limits the principal, or the token has
    one of `scopes`). `person_scopes` count beside them in a token that a person has authorised, and never in one that a
    program got for itself: an administrator's acts are a person's, whoever types them. `anonymous` is for the few
    things that the world may read; `cross_tenant` lets a tenant role act on an object that row security shows it
    although another tenant owns it (a published plugin). `groups` are the kinds of action it belongs to, which policies
    and conditions speak of.
    """

    action: str
    roles: frozenset[Role] | set[Role] = field(default_factory=frozenset)
    scopes: frozenset[str] | set[str] = field(default_factory=frozenset)
    person_scopes: frozenset[str] | set[str] = field(default_factory=frozenset)
    grant: str = ""
    anonymous: bool = False
    cross_tenant: bool = False
    groups: frozenset[str] | set[str] = field(default_factory=frozenset)

    def scopes_of(self, kind: str) -> frozenset[str]:
        """The scopes that open it in a token of a principal of this kind."""
        return frozenset(self.scopes | self.person_scopes if kind == "user" else self.scopes)

    @property
    def names(self) -> frozenset[str]:
        """The action and its groups: what a policy's scope may name."""
        verb = self.action.rpartition(".")[2]
        return frozenset(
            {self.action, *self.groups, *({"view"} if verb in VIEWS and not self.groups else ())}
        )


_rules: dict[str, ActionRule] = {}
_names: dict[str, frozenset[str]] = {}
_version: str | None = None


def register(*rules: ActionRule) -> None:
    """Make actions known. A second, different rule for one action, or an unknown group, is a programming error."""
    global _version
    for rule in rules:
        if unknown := set(rule.groups) - set(GROUPS):
            raise ValueError(f"The action {rule.action} has unknown groups {sorted(unknown)}.")
        if _rules.setdefault(rule.action, rule) != rule:
            raise ValueError(f"The action {rule.action} is registered twice.")
        _names[rule.action] = rule.names
    _version = None


def rule_for(action: str) -> ActionRule | None:
    """The rule of an action; None for one that nobody registered."""
    return _rules.get(action)


def names_of(action: str) -> frozenset[str]:
    """The action and its groups."""
    return _names.get(action) or frozenset({action})


def registered_actions() -> dict[str, ActionRule]:
    """Every action that can be decided about, by name."""
    return dict(_rules)


def rules_version() -> str:
    """A short digest of all registered rules."""
    global _version
    if _version is None:
        text = "\n".join(
            f"{r.action} {sorted(r.roles)} {sorted(r.scopes)} {sorted(r.person_scopes)} {r.grant} {r.anonymous} "
            f"{r.cross_tenant} {sorted(r.groups)}"
            for r in sorted(_rules.values(), key=lambda rule: rule.action)
        )
        _version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return _version
