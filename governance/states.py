"""State machines as one table each: target state -> allowed sources and who may cause the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from governance.errors import IllegalTransition
from governance.principals import Role


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a state table: which states may become the target, and which roles may cause it (empty: any)."""

    sources: frozenset[str]
    by: frozenset[Role] = frozenset()


class StateTable:
    """The whole life of one model. `check` is the only way a service may learn whether a step is legal."""

    def __init__(self, name: str, rules: Mapping[str, Rule], *, initial: Iterable[str]) -> None:
        self.name = name
        self.rules = {str(target): rule for target, rule in rules.items()}
        self.initial = frozenset(map(str, initial))
        known = self.states
        for target, rule in self.rules.items():
            if unknown := set(map(str, rule.sources)) - known:
                raise ValueError(f"{name}: {target} has unknown sources {sorted(unknown)}")

    @property
    def states(self) -> frozenset[str]:
        """Every state that the table names as initial or as a target."""
        return self.initial | frozenset(self.rules)

    @property
    def terminal(self) -> frozenset[str]:
        """States that nothing leads out of."""
        return self.states - {str(source) for rule in self.rules.values() for source in rule.sources}

    def allows(self, source: str, target: str) -> bool:
        """Whether the table has the step at all, whoever asks."""
        rule = self.rules.get(str(target))
        return rule is not None and str(source) in {str(s) for s in rule.sources}

    def check(self, source: str, target: str, roles: Iterable[Role] | None = None) -> None:
        """Raise `IllegalTransition`, naming both states, unless the step is in the table and open to these roles."""
        if not self.allows(source, target):
            raise IllegalTransition(
                _("%(name)s cannot go from “%(source)s” to “%(target)s”.")
                % {"name": self.name, "source": source, "target": target},
                hint=_("Reload to see its present state."),
            )
        by = self.rules[str(target)].by
        if by and roles is not None and by.isdisjoint(roles):
            raise IllegalTransition(
                _("%(name)s cannot be taken from “%(source)s” to “%(target)s” by this role.")
                % {"name": self.name, "source": source, "target": target},
                hint=_("It needs one of: %(roles)s.") % {"roles": ", ".join(sorted(by))},
            )
