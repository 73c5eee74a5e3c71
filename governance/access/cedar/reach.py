"""What of a request a policy can look at, read from the policy itself.

Two requests that agree in all that the policies about an action can look at are answered alike by them, so many
recorded questions are one question to a given set of policies, and are asked once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cedarpy
import orjson

from governance.access.cedar.engine import Policy

PRINCIPAL, RESOURCE, CONTEXT = "principal", "resource", "context"
_VARIABLES = (PRINCIPAL, RESOURCE, CONTEXT)


@dataclass(frozen=True, slots=True)
class Reach:
    """The attributes of each variable that are looked at, and the variables that are compared or passed on whole."""

    attributes: frozenset[tuple[str, str]] = frozenset()
    whole: frozenset[str] = frozenset()

    def __or__(self, other: Reach) -> Reach:
        return Reach(self.attributes | other.attributes, self.whole | other.whole)

    def sees(self, variable: str, attribute: str) -> bool:
        """Whether the attribute can matter."""
        return variable in self.whole or (variable, attribute) in self.attributes


def reach_of(policies: Iterable[Policy]) -> Reach:
    """All that any of the policies can look at."""
    found = Reach()
    for policy in policies:
        found |= _reach(policy.text)
    return found


def seen_of(request: dict[str, Any], reach: Reach) -> bytes:
    """What such policies see of a request, as bytes to compare. Types, and the action with its groups, always count.

    An entity that is compared whole counts with its identity.
    """
    groups: Any = next(
        (item["parents"] for item in request["entities"] if item["uid"] == request["action"]), []
    )
    seen: list[Any] = [request["action"]["id"], groups]
    seen += [request["principal"]["type"], request["resource"]["type"]]
    for variable in (PRINCIPAL, RESOURCE):
        uid = request[variable]
        if variable in reach.whole:
            seen.append(uid["id"])
        attributes: dict[str, Any] = next(
            (item["attrs"] for item in request["entities"] if item["uid"] == uid), {}
        )
        seen.append({name: value for name, value in attributes.items() if reach.sees(variable, name)})
    seen.append({name: value for name, value in request["context"].items() if reach.sees(CONTEXT, name)})
    return orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=4_096)
def _reach(text: str) -> Reach:
    (body,) = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values()
    attributes: set[tuple[str, str]] = set()
    whole = {variable for variable in (PRINCIPAL, RESOURCE) if _names_one(body[variable])}
    for condition in body["conditions"]:
        for variable, attribute in _uses(condition["body"]):
            if attribute:
                attributes.add((variable, attribute))
            else:
                whole.add(variable)
    return Reach(frozenset(attributes), frozenset(whole))


def _names_one(scope: dict[str, Any]) -> bool:
    """Whether a policy's head asks more of it than its type."""
    return scope["op"] not in ("All", "is") or "in" in scope


def _uses(expression: Any) -> Iterator[tuple[str, str]]:
    """Every use of a variable: with the attribute that is read of it, or with nothing where it is used as it is."""
    if isinstance(expression, list):
        for item in expression:
            yield from _uses(item)
        return
    if not isinstance(expression, dict):
        return
    for operator, operand in expression.items():
        if operator == "Var":
            if operand in _VARIABLES:
                yield operand, ""
        elif operator in (".", "has") and (variable := operand["left"].get("Var")) in _VARIABLES:
            yield variable, operand["attr"]
        elif operator != "Value":
            yield from _uses(operand)
