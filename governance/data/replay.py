"""Replaying a day's placements: what would have run where, with other pools, other thresholds, the policies of now."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from governance.data.models import ComputePool, PlacementRecord
from governance.data.pools import HOME, Burst, Pool, bursts, order_of, pools_for
from governance.data.residence import against
from governance.errors import InvalidInput
from governance.tenants.context import platform_scope
from governance.tenants.tasks import HOME_POOL

REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Layout:
    """Pools and burst rules as they are assumed to have been."""

    pools: tuple[Pool, ...]
    bursts: Mapping[str, Burst]

    @classmethod
    def present(cls, tenant_id: UUID | None) -> Layout:
        """What is in force now."""
        return cls(pools_for(tenant_id), bursts())

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """From JSON: `pools` with name, kind, region, certified_for, capacity; `bursts` with workload, threshold, pool.

        Raises InvalidInput that says what is wrong.
        """
        try:
            given = json.loads(text)
            pools = tuple(
                Pool(
                    name=str(item["name"]),
                    kind=str(ComputePool.Kind(item["kind"])),
                    region=str(item.get("region", "")),
                    certified_for=tuple(map(str, item.get("certified_for", ()))),
                    capacity=int(item.get("capacity", 60)),
                )
                for item in given["pools"]
            )
            rules = {
                str(item["workload"]): Burst(str(item["workload"]), int(item["threshold"]), str(item["pool"]))
                for item in given.get("bursts", ())
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"The file does not describe pools: {type(error).__name__} {error}."
            ) from error
        if unknown := {rule.pool for rule in rules.values()} - {pool.name for pool in pools}:
            raise InvalidInput(f"A burst rule names a pool that is not there: {', '.join(sorted(unknown))}.")
        known = pools if any(pool.name == HOME_POOL for pool in pools) else (HOME, *pools)
        return cls(tuple(sorted(known, key=order_of)), rules)


@dataclass(slots=True)
class Line:
    """One row of the result: so many pieces of work with this label ran there, and would have run here."""

    workload: str
    label: str
    subjects: str
    was: str
    would: str
    rule: str
    count: int = 0


@dataclass(slots=True)
class Replay:
    """What a day would have looked like. `peaks` is the longest home queue of each workload, in messages."""

    day: str
    placements: int = 0
    moved_out: int = 0
    differences: int = 0
    lines: list[Line] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def replay_day(day: date, *, layout: Layout | None = None, tenant_id: UUID | None = None) -> Replay:
    """Decide every recorded placement of a UTC day again, in order, under the policies in force now.

    The home queue is simulated: it grows with what is placed at home and shrinks by the home pool's capacity, so that
    a burst rule acts when it would have. Reads as the house; the caller has decided who may.
    """
    result = Replay(day.isoformat())
    counted: Counter[tuple[str, str, str, str, str, str]] = Counter()
    waiting: dict[str, float] = defaultdict(float)
    seen_at: dict[str, datetime] = {}
    layouts: dict[UUID, Layout] = {}
    judged: dict[tuple[Any, ...], str] = {}
    for row in _records(day, tenant_id):
        here = layout or layouts.setdefault(row.tenant_id, Layout.present(row.tenant_id))
        home = next(pool for pool in here.pools if pool.name == HOME_POOL)
        passed = (row.at - seen_at.get(row.workload, row.at)).total_seconds()
        seen_at[row.workload] = row.at
        waiting[row.workload] = max(0.0, waiting[row.workload] - passed / 60 * home.capacity)
        was = row.pool or REFUSED
        for _piece in range(row.count):
            would, rule = _where(row, here, waiting[row.workload], judged)
            if would == HOME_POOL:
                waiting[row.workload] += 1
            result.peaks[row.workload] = max(result.peaks.get(row.workload, 0), int(waiting[row.workload]))
            counted[row.workload, row.label, "+".join(row.subjects), was, would, rule] += 1
            result.moved_out += any(p.name == would and p.kind == "public" for p in here.pools)
            result.differences += was != would
            result.placements += 1
    result.lines = [Line(*key, count) for key, count in sorted(counted.items())]
    return result


def _records(day: date, tenant_id: UUID | None) -> Iterator[PlacementRecord]:
    start = datetime.combine(day, time.min, UTC)
    with platform_scope(), transaction.atomic():
        rows = PlacementRecord.objects.filter(at__gte=start, at__lt=start + timedelta(days=1), starting=False)
        if tenant_id is not None:
            rows = rows.filter(tenant_id=tenant_id)
        yield from rows.order_by("at", "id").iterator(chunk_size=1000)


def _where(
    row: PlacementRecord, layout: Layout, waiting: float, judged: dict[tuple[Any, ...], str]
) -> tuple[str, str]:
    """Pool and rule: where it would have gone, or that (and by which rule) it would have been refused."""
    if not row.on_data:
        return HOME_POOL, ""
    rule = layout.bursts.get(row.workload)
    out = [p for p in layout.pools if rule and p.name == rule.pool and waiting > rule.threshold]
    refusal = ""
    for pool in (*out, *(p for p in layout.pools if p.kind != "public")):
        against = _against(row, pool, judged)
        if not against:
            return pool.name, ""
        refusal = refusal if refusal or pool in out else against
    return REFUSED, refusal


def _against(row: PlacementRecord, pool: Pool, judged: dict[tuple[Any, ...], str]) -> str:
    key = (row.tenant_id, row.label, tuple(row.subjects), row.region, row.kept_for, row.purpose, pool)
    if key not in judged:
        facts = {
            "label": row.label,
            "subjects": row.subjects,
            "region": row.region,
            "purpose": row.kept_for,
        }
        context = pool.context | ({"purpose": row.purpose} if row.purpose else {})
        judged[key] = against(facts, row.tenant_id, context)[0]
    return judged[key]


def as_table(replay: Replay) -> Iterable[str]:
    """The result as lines of text for a terminal."""
    head = ("workload", "label", "about", "ran in", "would run in", "rule", "times")
    rows = [
        (x.workload, x.label or "?", x.subjects or "-", x.was, x.would, x.rule or "-", str(x.count))
        for x in replay.lines
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield (
        f"{replay.placements} placements on {replay.day}: {replay.differences} would differ, "
        f"{replay.moved_out} would run in a public pool."
    )
    for workload, peak in sorted(replay.peaks.items()):
        yield f"Longest home queue of {workload}: {peak}."
