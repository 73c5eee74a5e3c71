"""What would a text of policies have decided? Every recorded question of the last hours, asked again under it.

What roles and grants refused stays refused, for policies only narrow. What something else stopped (a stop button, an
approval's conditions) stays stopped. Records are read in a stream, and questions that the policies cannot tell apart
are asked once, so the log may be as long as it is: memory is bounded, and nothing is left out of the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
from django.db.models import BooleanField, Case, F, QuerySet, Sum, TextField, Value, When
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import platform_tenant_id
from governance.errors import InvalidInput
from governance.policies.models import DecisionRecord
from governance.policies.replaying import REFUSED, Change, Replay
from governance.policies.selectors import home_of
from governance.policies.validation import book_of
from governance.principals import Principal

MAX_DIFFERENCES = 500
MAX_KEPT = 20_000  # of which the greatest are listed
MAX_HOURS = 7 * 24
TELL_EVERY = 1_000
AT_A_TIME = 2_000
# Rows of one thing that somebody does stand together; of them those with a question come first, the newest of each
# key before the older.
TOGETHER = ("tenant_id", "principal_id", "action", "target_type", "target_id", "allow")
FIELDS = (
    "key",
    *TOGETHER,
    "principal_label",
    "target_label",
    "enforced",
    "rules",
    "question",
    "count",
    "last_at",
)
Row = dict[str, Any]


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
    """What a what-if found over all `decisions` since then.

    `examined` counts distinct questions, `refused` and `allowed` the decisions that would newly be so, `not_replayable`
    the questions of which only the count was kept. The `differences` are the greatest; `more` are not listed.
    """

    since: datetime
    differences: tuple[Difference, ...]
    examined: int
    decisions: int
    not_replayable: int
    refused: int
    allowed: int
    more: int = 0


def what_if(*, principal: Principal, tenant_id: UUID | None, text: str, hours: int = 24) -> Report:
    """Ask all recorded questions of the last `hours` again with `text` as the tenant's policies.

    For the platform's tenant those of every tenant, each with its own policies. Raises InvalidInput when the text is
    not valid or the hours are not between 1 and a week.
    """
    owner = tenant_id or home_of(principal)
    require(principal, "policies.decision.view", tenant_id=owner)
    check_question(text, hours)
    return replayed(owner, text, timezone.now() - timedelta(hours=hours))


def check_question(text: str, hours: int) -> None:
    """Raise InvalidInput when the text is not valid or the hours are not between 1 and a week."""
    if not 1 <= hours <= MAX_HOURS:
        raise InvalidInput(_("Between 1 and %(limit)d hours can be looked at.") % {"limit": MAX_HOURS})
    book_of(text)


def records_since(owner: UUID, since: datetime) -> QuerySet[DecisionRecord]:
    """The records that a text of this tenant is tried on."""
    rows = DecisionRecord.objects.filter(last_at__gte=since)
    return rows if owner == platform_tenant_id() else rows.filter(tenant_id=owner)


def replayed(
    owner: UUID, text: str, since: datetime, *, progress: Callable[[int], None] = lambda _rows: None
) -> Report:
    """The report. `progress` hears how many records were looked at, every `TELL_EVERY` of them, and may raise."""
    replay = Replay(owner, text, since)
    found = _Found()
    rows = records_since(owner, since)
    empty = Case(When(request={}, then=Value(True)), default=Value(False), output_field=BooleanField())
    ordered = rows.order_by(*TOGETHER, empty, "key", F("last_at").desc())
    told = ordered.annotate(question=Cast("request", TextField())).values(*FIELDS)
    done = 0
    for _thing, together in groupby(told.iterator(chunk_size=AT_A_TIME), key=_thing_of):
        for row in _with_questions(together):
            found.take(row, replay)
            done += 1
            if done % TELL_EVERY == 0:
                progress(done)
    progress(done)
    totals = rows.aggregate(decisions=Sum("count"))
    return found.report(
        since,
        examined=rows.values("tenant_id", "key").distinct().count(),
        decisions=totals["decisions"] or 0,
    )


def _thing_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in TOGETHER)


def _with_questions(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of one thing, each with a question where one is known: what was answered from memory repeats one.

    That of the same key if there is one, else the newest that was asked about the same thing.
    """
    newest: Row | None = None
    by_key: dict[str, dict[str, Any]] = {}
    for row in rows:
        row["request"] = orjson.loads(row["question"])
        if row["request"]:
            if len(by_key) < AT_A_TIME:
                by_key.setdefault(row["key"], row["request"])
            if newest is None or row["last_at"] > newest["last_at"]:
                newest = row
        elif row["allow"]:
            row["request"] = by_key.get(row["key"]) or (newest["request"] if newest else {})
        yield row


class _Found:
    """What differs so far. All is counted; of very many differences the smaller are not kept."""

    def __init__(self) -> None:
        self._differences: dict[tuple[Any, ...], Difference] = {}
        self._left_out = 0
        self._refused = self._allowed = 0
        self._lost: tuple[Any, ...] = ()
        self._not_replayable = 0

    def take(self, row: Row, replay: Replay) -> None:
        """Ask one row's question again."""
        if not row["request"]:
            this = (row["tenant_id"], row["key"])
            if row["allow"] and this != self._lost:
                self._not_replayable += 1
                self._lost = this
            return
        change = replay.change(
            row["request"], tenant_id=row["tenant_id"], allow=row["allow"], rules=tuple(row["rules"])
        )
        if change is not None:
            self._add(row, change)

    def report(self, since: datetime, *, examined: int, decisions: int) -> Report:
        ordered = sorted(self._differences.values(), key=_greatest_first)
        return Report(
            since=since,
            differences=tuple(ordered[:MAX_DIFFERENCES]),
            examined=examined,
            decisions=decisions,
            not_replayable=self._not_replayable,
            refused=self._refused,
            allowed=self._allowed,
            more=max(0, len(ordered) - MAX_DIFFERENCES) + self._left_out,
        )

    def _add(self, row: Row, change: Change) -> None:
        made = Difference(
            principal=row["principal_label"],
            action=row["action"],
            target=row["target_label"] or row["target_id"],
            before=change.before,
            after=change.after,
            policies=change.policies,
            reasons=change.reasons,
            count=row["count"],
            enforced=row["enforced"],
        )
        if made.enforced and made.newly_refused:
            self._refused += made.count
        elif made.enforced and made.before == REFUSED:
            self._allowed += made.count
        key = (made.principal, made.action, made.target, made.before, made.after, made.enforced)
        known = self._differences.get(key)
        self._differences[key] = made if known is None else _joined(known, made)
        if len(self._differences) > 2 * MAX_KEPT:
            kept = sorted(self._differences.items(), key=lambda item: _greatest_first(item[1]))[:MAX_KEPT]
            self._left_out += len(self._differences) - len(kept)
            self._differences = dict(kept)


def _greatest_first(item: Difference) -> tuple[Any, ...]:
    return not item.enforced, not item.newly_refused, -item.count


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
