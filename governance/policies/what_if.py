"""What would a text of policies have decided? Recorded questions, asked again under it.

What roles and grants refused stays refused, for policies only narrow. What something else stopped (a stop button, an
approval's conditions) stays stopped. Everything is bounded and the report says what it left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.cedar.engine import FACTS, PolicyBook, Verdict, product_rules
from governance.access.decisions import require
from governance.access.facts import facts_of
from governance.access.rules import names_of
from governance.audit.services import platform_tenant_id
from governance.errors import InvalidInput
from governance.policies.models import DecisionRecord, PolicyVersion
from governance.policies.selectors import active_version, home_of, platform_text
from governance.policies.source import compose
from governance.policies.validation import book_of
from governance.principals import Principal
from governance.refs import ObjectRef

MAX_RECORDS = 20_000
MAX_DIFFERENCES = 500
MAX_LOOKED_UP = 2_000  # things whose facts are asked for; the others keep what their record says
MAX_HOURS = 7 * 24
FIELDS = (
    "key",
    "tenant_id",
    "principal_id",
    "principal_label",
    "action",
    "target_type",
    "target_id",
    "target_label",
    "allow",
    "enforced",
    "rules",
    "request",
    "count",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that somebody does, answered otherwise. `policies` made the difference; `count` is how often.

    `enforced` is False where the answer only decided whether a page shows something.
    """

    principal: str
    action: str
    target: str
    before: str
    after: str
    policies: tuple[str, ...]
    reasons: tuple[str, ...]
    count: int
    enforced: bool = True

    @property
    def newly_refused(self) -> bool:
        """Whether what was possible would not be."""
        return self.after == REFUSED


@dataclass(frozen=True, slots=True)
class Report:
    """What a what-if found. Figures count distinct questions; `truncated` says that older ones were left out."""

    since: datetime
    differences: tuple[Difference, ...]
    examined: int
    decisions: int
    not_replayable: int
    truncated: bool
    more: int = 0

    @property
    def refused(self) -> int:
        """How many decisions would newly be refusals."""
        return sum(item.count for item in self.differences if item.newly_refused and item.enforced)

    @property
    def allowed(self) -> int:
        """How many decisions would newly be allowed."""
        return sum(item.count for item in self.differences if item.before == REFUSED and item.enforced)


ALLOWED, REFUSED = "allowed", "refused"


@dataclass(slots=True)
class _Question:
    row: dict[str, Any]
    count: int = 0
    request: dict[str, Any] = field(default_factory=dict)


def what_if(*, principal: Principal, tenant_id: UUID | None, text: str, hours: int = 24) -> Report:
    """Ask the recorded questions of the last `hours` again with `text` as the tenant's policies.

    For the platform's tenant those of every tenant, each with its own policies. Raises InvalidInput when the text is
    not valid or the hours are not between 1 and a week.
    """
    owner = tenant_id or home_of(principal)
    require(principal, "policies.decision.view", tenant_id=owner)
    if not 1 <= hours <= MAX_HOURS:
        raise InvalidInput(_("Between 1 and %(limit)d hours can be looked at.") % {"limit": MAX_HOURS})
    book_of(text)
    since = timezone.now() - timedelta(hours=hours)
    rows = DecisionRecord.objects.filter(last_at__gte=since).order_by("-last_at")
    if owner != platform_tenant_id():
        rows = rows.filter(tenant_id=owner)
    found = list(rows.values(*FIELDS)[: MAX_RECORDS + 1])
    questions = _merged(found[:MAX_RECORDS])
    books = _Books(owner, text, since)
    facts = _Facts()
    differences: dict[tuple[Any, ...], Difference] = {}
    lost = 0
    for question in questions:
        if not question.request:
            lost += question.row["allow"]
            continue
        if (change := _changed(question, books, facts)) is not None:
            key = (
                change.principal,
                change.action,
                change.target,
                change.before,
                change.after,
                change.enforced,
            )
            known = differences.get(key)
            differences[key] = change if known is None else _joined(known, change)
    ordered = sorted(
        differences.values(), key=lambda item: (not item.enforced, not item.newly_refused, -item.count)
    )
    return Report(
        since=since,
        differences=tuple(ordered[:MAX_DIFFERENCES]),
        examined=len(questions),
        decisions=sum(question.count for question in questions),
        not_replayable=lost,
        truncated=len(found) > MAX_RECORDS,
        more=max(0, len(ordered) - MAX_DIFFERENCES),
    )


def _merged(rows: Iterable[dict[str, Any]]) -> list[_Question]:
    """Equal questions of several hours as one. What was answered from memory repeats a question that was asked."""
    questions: dict[str, _Question] = {}
    asked: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        question = questions.setdefault(row["key"], _Question(row))
        question.count += row["count"]
        if row["request"] and not question.request:
            question.request = row["request"]
            asked.setdefault(_same(row), row["request"])
    for question in questions.values():
        if not question.request and question.row["allow"]:
            question.request = asked.get(_same(question.row), {})
    return list(questions.values())


def _same(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["principal_id"], row["action"], row["target_type"], row["target_id"], row["allow"]


def _changed(question: _Question, books: _Books, facts: _Facts) -> Difference | None:
    row, names = question.row, names_of(question.row["action"])
    owner = _owner_of(question.request) or row["tenant_id"]
    if (candidate := books.candidate(owner)) is None:
        return None
    request = facts.completed(question.request, owner)
    after = candidate.evaluate(request, names)
    if row["allow"] and not after.allow:
        return _difference(question, _allowed(()), REFUSED, after)
    if not row["allow"]:
        known = books.known(owner)
        if after.allow and all(rule in known for rule in row["rules"]):
            return _difference(question, REFUSED, _allowed(_duties(after)), after, tuple(row["rules"]))
        return None
    if books.ties_duties(owner, names):
        before = books.present(owner).evaluate(request, names)
        if before.allow and _duties(before) != _duties(after):
            return _difference(question, _allowed(_duties(before)), _allowed(_duties(after)), after)
    return None


def _difference(
    question: _Question, before: str, after: str, verdict: Verdict, policies: tuple[str, ...] = ()
) -> Difference:
    row = question.row
    made = [policy for policy in verdict.policies if not verdict.allow or policy.obligation]
    return Difference(
        principal=row["principal_label"],
        action=row["action"],
        target=row["target_label"] or row["target_id"],
        before=before,
        after=after,
        policies=policies
        or tuple(policy.id for policy in made)
        or (("policy-error",) if verdict.errors else ()),
        reasons=tuple(_(policy.reason) for policy in made if policy.reason) or verdict.errors,
        count=question.count,
        enforced=row["enforced"],
    )


def _joined(one: Difference, other: Difference) -> Difference:
    return Difference(
        principal=one.principal,
        action=one.action,
        target=one.target,
        before=one.before,
        after=one.after,
        policies=tuple(dict.fromkeys(one.policies + other.policies)),
        reasons=tuple(dict.fromkeys(one.reasons + other.reasons)),
        count=one.count + other.count,
        enforced=one.enforced,
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


class _Facts:
    """What the catalogue knows of a thing now and the record does not say."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}

    def completed(self, request: dict[str, Any], owner: UUID) -> dict[str, Any]:
        """The request with the missing facts of its resource."""
        entities = [self._entity(item, owner) for item in request["entities"]]
        return {**request, "entities": entities}

    def _entity(self, item: dict[str, Any], owner: UUID) -> dict[str, Any]:
        name = item["uid"]["id"]
        if item["uid"]["type"] != "Resource" or not name or "label" in item["attrs"]:
            return item
        if name not in self._told:
            if len(self._told) >= MAX_LOOKED_UP:
                return item
            kind, _colon, id_ = name.partition(":")
            known = facts_of(ObjectRef(kind, id_), owner)
            self._told[name] = {fact: known[fact] for fact in FACTS if known.get(fact)}
        return {**item, "attrs": {**self._told[name], **item["attrs"]}}
