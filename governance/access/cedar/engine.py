"""Evaluating Cedar policies: parsed once, sliced by action, every answer with the ids of the policies that made it.

Cedar's semantics make slicing sound: a policy whose scope does not name the action cannot change the answer. So a
decision costs what the policies about its action cost, however many there are about others.

Policies only narrow what roles and grants allow: beside the administrators' policies stands one `permit` for all.
A policy that cannot be evaluated is taken as a refusal, for a skipped `forbid` would be a hole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import cedarpy

from governance.decision import StepUp

RULES = Path(__file__).parent / "rules"
SCHEMA = Path(__file__).parent / "schema.cedarschema"
BASE = "permit (principal, action, resource);"
# Attributes whose value changes by itself: an answer that looked at them is not kept.
CLOCK_WORDS = ("factor_age_s", "context.now", "context.hour", "context.weekday")
# What the data catalogue may know of a resource; looked up only where a policy about the action mentions one of them.
FACTS = ("label", "subjects", "region", "purpose", "owner")


class PolicyError(ValueError):
    """Policies that do not parse. The message says where."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One parsed policy. `actions` are the action and group names of its scope; None when it is about every action."""

    id: str
    effect: str
    text: str
    actions: frozenset[str] | None
    principal_type: str = ""  # of its scope; empty when it is about principals of every type
    reason: str = ""
    help: str = ""
    step_up: StepUp | None = None
    obligation: str = ""

    @property
    def watches_the_clock(self) -> bool:
        """Whether its answer can change without anything being changed."""
        return any(word in self.text for word in CLOCK_WORDS)

    @property
    def asks_for_facts(self) -> bool:
        """Whether it may look at what the data catalogue knows: any mention counts, so that none is missed."""
        return any(word in self.text for word in FACTS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies say: the matching `forbid`s, or the `permit`s with obligations, and what failed."""

    allow: bool
    policies: tuple[Policy, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Slice:
    handle: Any
    by_index: Mapping[str, Policy]
    clock_watchers: frozenset[str]  # the types of principals whose answers may change by themselves
    asks_for_facts: bool


@dataclass(slots=True, eq=False)
class PolicyBook:
    """A set of policies, with a digest that names it and slices made at first use."""

    policies: tuple[Policy, ...]
    version: str
    _slices: dict[frozenset[str], _Slice] = field(default_factory=dict)

    @classmethod
    def parse(cls, *texts: str) -> PolicyBook:
        """Read Cedar text. Raises PolicyError, also when two policies have one `@id` or one has none."""
        policies = tuple(policy for text in texts for policy in parse(text))
        ids = [policy.id for policy in policies]
        if twice := sorted(
            {name for name in ids if ids.count(name) > 1} if len(set(ids)) != len(ids) else ()
        ):
            raise PolicyError(f"two policies have the same @id: {', '.join(twice)}")
        digest = sha256("\n".join(sorted(policy.text for policy in policies)).encode()).hexdigest()[:12]
        return cls(policies, digest)

    def __add__(self, other: PolicyBook) -> PolicyBook:
        return PolicyBook(
            self.policies + other.policies, sha256(f"{self.version}{other.version}".encode()).hexdigest()[:12]
        )

    def about(self, names: frozenset[str]) -> _Slice:
        """The policies that can matter to an action of these names (its own and its groups')."""
        found = self._slices.get(names)
        if found is None:
            wanted = [p for p in self.policies if p.actions is None or not p.actions.isdisjoint(names)]
            handle = cedarpy.PolicySet.from_str("\n".join([BASE, *(policy.text for policy in wanted)]))
            found = self._slices[names] = _Slice(
                handle,
                {f"policy{index}": policy for index, policy in enumerate(wanted, start=1)},
                frozenset(policy.principal_type for policy in wanted if policy.watches_the_clock),
                any(policy.asks_for_facts for policy in wanted),
            )
        return found

    def evaluate(self, request: Mapping[str, Any], names: frozenset[str]) -> Verdict:
        """Decide one request made by `request_of`."""
        part = self.about(names)
        if not part.by_index:
            return Verdict(True)
        result = cedarpy.is_authorized(
            {key: request[key] for key in ("principal", "action", "resource", "context")},
            part.handle,
            request["entities"],
        )
        if result.diagnostics.errors:
            return Verdict(False, errors=tuple(str(error) for error in result.diagnostics.errors))
        # In the order of the book, so that the same refusal always names the same rule first.
        reasons = set(result.diagnostics.reasons)
        matching = tuple(policy for index, policy in part.by_index.items() if index in reasons)
        return Verdict(result.allowed, matching)

    def asks_for_facts(self, names: frozenset[str]) -> bool:
        """Whether an answer about these names may depend on what the data catalogue knows."""
        return self.about(names).asks_for_facts

    def watches_the_clock(self, names: frozenset[str], principal_type: str = "") -> bool:
        """Whether an answer about these names, to a principal of this type, may change by itself."""
        watchers = self.about(names).clock_watchers
        return bool(watchers) if not principal_type else not watchers.isdisjoint({"", principal_type})


def parse(text: str) -> list[Policy]:
    """The policies in Cedar text, in order. Raises PolicyError."""
    try:
        known = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise PolicyError(str(error)) from error
    if known.get("templates"):
        raise PolicyError("templates are not supported: write a policy without slots")
    return [_policy(body) for _key, body in sorted(known["staticPolicies"].items(), key=_in_order)]


def _in_order(item: tuple[str, Any]) -> int:
    return int(item[0].removeprefix("policy"))


def _policy(body: dict[str, Any]) -> Policy:
    notes: dict[str, str] = body.get("annotations") or {}
    name = notes.get("id", "")
    if not name:
        raise PolicyError("every policy needs an @id, so that a refusal can name it")
    text = cedarpy.policies_from_json_str(
        json.dumps({"staticPolicies": {"policy0": body}, "templates": {}, "templateLinks": []})
    )
    return Policy(
        id=name,
        effect=body["effect"],
        text=text,
        actions=_actions(body["action"]),
        principal_type=body["principal"].get("entity_type", ""),
        reason=notes.get("reason", ""),
        help=notes.get("help", ""),
        step_up=_step_up(name, notes.get("step_up", "")),
        obligation=notes.get("obligation", ""),
    )


def _actions(scope: dict[str, Any]) -> frozenset[str] | None:
    entities = scope.get("entities") or ([scope["entity"]] if "entity" in scope else None)
    return None if entities is None else frozenset(str(entity["id"]) for entity in entities)


def _step_up(name: str, note: str) -> StepUp | None:
    if not note:
        return None
    try:
        level, _space, age = note.partition(" ")
        return StepUp(int(level), int(age or 0))
    except ValueError as error:
        raise PolicyError(f'{name}: @step_up wants "LEVEL SECONDS", for example "2 900"') from error


@lru_cache(maxsize=1)
def product_rules() -> PolicyBook:
    """The policies that ship with the product, from the `.cedar` files beside this module."""
    return PolicyBook.parse(*(path.read_text(encoding="utf-8") for path in sorted(RULES.glob("*.cedar"))))


def entity(
    type_: str, id_: str, attributes: Mapping[str, Any], parents: Iterable[str] = ()
) -> dict[str, Any]:
    """A Cedar entity as cedarpy takes it; `parents` are action groups."""
    return {
        "uid": {"type": type_, "id": id_},
        "attrs": dict(attributes),
        "parents": [{"type": "Action", "id": parent} for parent in parents],
    }


def text_of(value: UUID | None) -> str:
    """An id as policies see it; empty where there is none."""
    return str(value) if value else ""
