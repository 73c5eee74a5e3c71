"""Asking a recorded question again: under the policies in force, and under those that would be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.utils.translation import gettext as _

from governance.access.cedar.engine import FACTS, PolicyBook, Verdict, product_rules
from governance.access.cedar.reach import RESOURCE, Reach, reach_of, seen_of
from governance.access.facts import facts_of
from governance.access.rules import names_of
from governance.audit.services import platform_tenant_id
from governance.policies.models import PolicyVersion
from governance.policies.selectors import active_version, platform_text
from governance.policies.source import compose
from governance.refs import ObjectRef

ALLOWED, REFUSED = "allowed", "refused"
# What is remembered meanwhile; what is forgotten is only asked again.
MAX_ANSWERS = 20_000
MAX_FACTS = 20_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Change:
    """How one question would be answered otherwise. `policies` make the difference."""

    before: str
    after: str
    policies: tuple[str, ...]
    reasons: tuple[str, ...]


class Replay:
    """Asks recorded questions again with `text` as the policies of the tenant `changed`.

    `since` is when the oldest of them was asked: policies that were retired since then may have refused it.
    """

    def __init__(self, changed: UUID, text: str, since: datetime) -> None:
        self._books = _Books(changed, text, since)
        self._answers: _Memory[tuple[Any, ...], Change | None] = _Memory(MAX_ANSWERS)
        self._facts: _Memory[tuple[str, UUID], dict[str, Any]] = _Memory(MAX_FACTS)

    def change(
        self, request: dict[str, Any], *, tenant_id: UUID, allow: bool, rules: tuple[str, ...]
    ) -> Change | None:
        """How a question that was answered so would be answered; None when in the same way.

        What no policy about the action can look at is left out of account, so that most questions were asked before.
        """
        action = request["action"]["id"]
        owner = _owner_of(request) or tenant_id
        if self._books.candidate(owner) is None:
            return None
        reach = self._books.reach(owner, names_of(action))
        if any(reach.sees(RESOURCE, fact) for fact in FACTS):
            request = self._completed(request, owner)
        key = (owner, allow, rules if not allow else (), seen_of(request, reach))
        return self._answers.get(key, lambda: self._asked(request, owner, allow=allow, rules=rules))

    def _asked(
        self, request: dict[str, Any], owner: UUID, *, allow: bool, rules: tuple[str, ...]
    ) -> Change | None:
        names = names_of(request["action"]["id"])
        candidate = self._books.candidate(owner)
        assert candidate is not None
        after = candidate.evaluate(request, names)
        if allow and not after.allow:
            return _change(_allowed(()), REFUSED, after)
        if not allow:
            if after.allow and all(rule in self._books.known(owner) for rule in rules):
                return _change(REFUSED, _allowed(_duties(after)), after, rules)
            return None
        if self._books.ties_duties(owner, names):
            before = self._books.present(owner).evaluate(request, names)
            if before.allow and _duties(before) != _duties(after):
                return _change(_allowed(_duties(before)), _allowed(_duties(after)), after)
        return None

    def _completed(self, request: dict[str, Any], owner: UUID) -> dict[str, Any]:
        """The request with what the catalogue knows of its resource now and the record does not say."""
        entities = [self._entity(item, owner) for item in request["entities"]]
        return {**request, "entities": entities}

    def _entity(self, item: dict[str, Any], owner: UUID) -> dict[str, Any]:
        name = item["uid"]["id"]
        if item["uid"]["type"] != "Resource" or not name or "label" in item["attrs"]:
            return item
        known = self._facts.get((name, owner), lambda: _known(name, owner))
        return {**item, "attrs": {**known, **item["attrs"]}}


def _known(name: str, owner: UUID) -> dict[str, Any]:
    kind, _colon, id_ = name.partition(":")
    known = facts_of(ObjectRef(kind, id_), owner)
    return {fact: known[fact] for fact in FACTS if known.get(fact)}


def _change(before: str, after: str, verdict: Verdict, policies: tuple[str, ...] = ()) -> Change:
    made = [policy for policy in verdict.policies if not verdict.allow or policy.obligation]
    return Change(
        before,
        after,
        policies or tuple(policy.id for policy in made) or (("policy-error",) if verdict.errors else ()),
        tuple(_(policy.reason) for policy in made if policy.reason) or verdict.errors,
    )


def _duties(verdict: Verdict) -> tuple[str, ...]:
    return tuple(sorted({policy.obligation for policy in verdict.policies if policy.obligation}))


def _allowed(duties: tuple[str, ...]) -> str:
    return f"{ALLOWED}: {', '.join(duties)}" if duties else ALLOWED


def _owner_of(request: dict[str, Any]) -> UUID | None:
    for item in request["entities"]:
        if item["uid"]["type"] == "Resource" and (tenant := item["attrs"].get("tenant")):
            return UUID(tenant)
    return None


class _Memory(Generic[K, V]):
    """Bounded; what was least lately asked for is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, load: Callable[[], V]) -> V:
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        value = self._known[key] = load()
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return value


class _Books:
    """The policies by tenant: as they are, and as they would be."""

    def __init__(self, changed: UUID, text: str, since: datetime) -> None:
        self._changed = changed
        self._text = text
        self._since = since
        self._platform = changed == platform_tenant_id()
        self._before: dict[UUID, PolicyBook] = {}
        self._after: dict[UUID, PolicyBook] = {}
        self._known: dict[UUID, frozenset[str]] = {}
        self._duties: dict[tuple[UUID, frozenset[str]], bool] = {}
        self._reach: dict[tuple[UUID, frozenset[str]], Reach] = {}

    def candidate(self, owner: UUID) -> PolicyBook | None:
        """What would be in force for the tenant's things; None where the text changes nothing."""
        if not self._platform and owner != self._changed:
            return None
        if owner not in self._after:
            own = self._own(owner) if owner != self._changed else []
            self._after[owner] = compose(*([] if self._platform else self._floor()), self._text, *own)
        return self._after[owner]

    def present(self, owner: UUID) -> PolicyBook:
        """What is in force for the tenant's things."""
        if owner not in self._before:
            own = self._own(owner) if owner != platform_tenant_id() else []
            self._before[owner] = compose(*self._floor(), *own)
        return self._before[owner]

    def known(self, owner: UUID) -> frozenset[str]:
        """Names of policies that may have refused since then; any other rule is not a policy."""
        if owner not in self._known:
            ended = PolicyVersion.objects.filter(
                tenant_id__in=[owner, platform_tenant_id()], state="retired", ended_at__gte=self._since
            )
            books = [self.present(owner), *(compose(version.text) for version in ended)]
            names = {policy.id for book in [*books, product_rules()] for policy in book.policies}
            self._known[owner] = frozenset(names | {"policy-error"})
        return self._known[owner]

    def reach(self, owner: UUID, names: frozenset[str]) -> Reach:
        """What the policies about these actions can look at, now or then."""
        key = owner, names
        if key not in self._reach:
            self._reach[key] = reach_of(
                policy
                for book in filter(None, [self.present(owner), self.candidate(owner)])
                for policy in book.policies
                if policy.actions is None or not policy.actions.isdisjoint(names)
            )
        return self._reach[key]

    def ties_duties(self, owner: UUID, names: frozenset[str]) -> bool:
        """Whether any policy about these actions, now or then, ties a duty to a yes."""
        key = owner, names
        if key not in self._duties:
            candidate = self.candidate(owner)
            self._duties[key] = any(
                policy.obligation and (policy.actions is None or not policy.actions.isdisjoint(names))
                for book in filter(None, [self.present(owner), candidate])
                for policy in book.policies
            )
        return self._duties[key]

    def _floor(self) -> list[str]:
        return list(filter(None, [platform_text()]))

    def _own(self, owner: UUID) -> list[str]:
        found = active_version(owner)
        return [found.text] if found else []
