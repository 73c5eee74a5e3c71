"""Conditions on answers: when a question is asked, and when a rule about the class of risk applies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Condition = Mapping[str, Any]


def holds(condition: Condition, answers: Mapping[str, Any], facts: Mapping[str, str] | None = None) -> bool:
    """Whether a condition of the data holds. A question that was not asked holds nothing."""
    if "all" in condition:
        return all(holds(part, answers, facts) for part in condition["all"])
    if "any" in condition:
        return any(holds(part, answers, facts) for part in condition["any"])
    if "question" in condition:
        given = answers.get(condition["question"])
        return not set(given if isinstance(given, list) else [given]).isdisjoint(condition["includes"])
    if "fact" in condition:
        return (facts or {}).get(condition["fact"]) in condition["includes"]
    return bool(condition["always"])


def leaves(condition: Condition) -> Iterator[Condition]:
    """Every part of a condition that asks about one question or fact."""
    for part in (*condition.get("all", ()), *condition.get("any", ())):
        yield from leaves(part)
    if "question" in condition or "fact" in condition:
        yield condition
