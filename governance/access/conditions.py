"""Conditions beside policies: what other apps of the ground know that may stop an allowed action or tie a duty to it.

A stop button, an ethics approval's conditions, a held plugin. A condition is asked after roles, grants and policies
have said yes; it can only narrow the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from governance.principals import Principal
from governance.refs import ObjectRef


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the decision point. `tenant_id` is whose thing it is; `context` are facts of the moment.

    `enforced` tells an answer that is obeyed from one that only says what to show.
    """

    principal: Principal
    action: str
    target: ObjectRef | None
    tenant_id: UUID | None
    context: Mapping[str, Any]
    enforced: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a condition has to say: a refusal with its reason, or (`allow`) an obligation.

    `valid_until` (seconds since the epoch) is when it may say something else though nothing changes.
    """

    rule: str
    reason: str = ""
    allow: bool = False
    obligation: str = ""
    help: str = ""
    valid_until: float = float("inf")


Condition = Callable[[Question], Iterable[Finding]]

_conditions: dict[str, list[Condition]] = {}


def register(condition: Condition, *, groups: Iterable[str]) -> None:
    """Ask `condition` about every action of these groups (see `ActionRule.groups`)."""
    for group in groups:
        known = _conditions.setdefault(group, [])
        if condition not in known:
            known.append(condition)


def findings(question: Question, groups: Iterable[str]) -> list[Finding]:
    """What every condition of these groups says, each asked once."""
    asked: list[Condition] = []
    for group in groups:
        asked += [condition for condition in _conditions.get(group, ()) if condition not in asked]
    return [finding for condition in asked for finding in condition(question)]
