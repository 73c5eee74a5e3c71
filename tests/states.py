"""Walking state tables whole: every pair of states, and every role."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from governance.errors import IllegalTransition
from governance.principals import Role
from governance.states import StateTable

__test__ = False


def every_step(table: StateTable) -> list[Any]:
    """All pairs of states as pytest parameters."""
    return [
        pytest.param(source, target, id=f"{source}-to-{target}")
        for source, target in product(sorted(table.states), repeat=2)
    ]


def assert_step(table: StateTable, source: str, target: str, allowed: set[tuple[str, str]]) -> None:
    """The step is possible exactly when `allowed` says so, for exactly the roles of its row."""
    if (source, target) not in allowed:
        assert not table.allows(source, target)
        with pytest.raises(IllegalTransition) as caught:
            table.check(source, target, set(Role))
        assert source in str(caught.value.message)
        assert target in str(caught.value.message)
        return
    by = table.rules[target].by
    for role in Role:
        if not by or role in by:
            table.check(source, target, {role})
        else:
            with pytest.raises(IllegalTransition):
                table.check(source, target, {role})


def assert_complete(table: StateTable, choices: list[str]) -> None:
    """The table knows exactly the states of the model, and each can be reached from an initial one."""
    assert table.states == frozenset(map(str, choices))
    reached = set(map(str, table.initial))
    while grown := {t for t in table.rules for s in reached if table.allows(s, t)} - reached:
        reached |= grown
    assert reached == table.states
