"""What the arms of an experiment did, counted by the database over all its times, and the counts of the draw.

Three things make the counts fair:

- Only requests that were drawn from the planned split count: their recorded propensity is their arm's share. While an
  arm is being loaded, the others answer for it; those requests are drawn from another split, and are left out.
- When an arm is stopped, the control gets its share. From then on only so much of the control counts, drawn by the
  decision's id, as it had in relation to the arms that are left: so every arm's requests stem from the same hours in
  the same proportion, and what differs between hours does not look like a difference between versions.
- What was answered within a second after a change of the shares is left out.

An experiment lasts for weeks, so a look does not count everything anew: what is older than `LAG`, when no record of it
is still to be written, is counted once, and its totals are carried on (`Settled`). Feedback comes late and is
corrected, so it is joined anew at every look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.dateparse import parse_datetime

from inference.rollouts.analysis.mismatch import Drawn
from inference.rollouts.analysis.sequential import Rate, Sums
from inference.rollouts.analysis.windows import ArmWindow
from inference.rollouts.models import Rollout, SplitChange
from inference.rollouts.windows import SETTLE, figure_of, metric_of, window_of

# Records are written within seconds; in a disturbance of the database they wait in memory, for minutes at most.
LAG = timedelta(minutes=10)
KEPT = "abs(uuid_hash(o.id)::bigint) %% 10000 < p.keep"
TIMES = """
    unnest(%(number)s::int[], %(since)s::timestamptz[], %(until)s::timestamptz[], %(version)s::uuid[],
           %(propensity)s::float8[], %(keep)s::int[]) AS p(number, since, until, version, propensity, keep)
    JOIN rollouts_outcomerecord o
      ON o.endpoint_id = %(endpoint)s AND o.at > %(first)s AND o.at <= %(last)s
     AND o.at > p.since AND o.at <= p.until AND o.model_version_id = p.version
     AND o.chosen IN ('split', 'sticky') AND abs(o.propensity - p.propensity) < 1e-6
"""
# The draws of `split` are independent of each other; all requests of a session (`sticky`) are one draw.
COUNTS = """
    SELECT p.number, p.version,
           count(*) FILTER (WHERE o.chosen = 'split'),
           count(*) FILTER (WHERE {kept} AND (status < 400 OR status >= 500)),
           count(*) FILTER (WHERE {kept} AND status >= 500),
           count(*) FILTER (WHERE {kept} AND status BETWEEN 400 AND 499),
           count(*) FILTER (WHERE {kept} AND status < 400)
           {slower}
    FROM {times} GROUP BY p.number, p.version
"""
# The newest row of a decision and kind counts.
TOLD = """
    SELECT p.version, f.kind, count(*), coalesce(sum(f.number), 0), coalesce(sum(f.number * f.number), 0),
           count(*) FILTER (WHERE f.text = o.predicted)
    FROM {times}
    JOIN (
        SELECT DISTINCT ON (decision_id, kind) decision_id, kind, text, number
        FROM rollouts_feedback WHERE endpoint_id = %(endpoint)s AND at > %(begin)s
        ORDER BY decision_id, kind, id DESC
    ) f ON f.decision_id = o.id AND (f.kind <> 'label' OR o.predicted <> '')
    WHERE {kept} GROUP BY p.version, f.kind
"""


@dataclass(frozen=True, slots=True)
class Time:
    """A time with the same shares: percents of the arms that had any, and the control's part that counts."""

    since: datetime
    until: datetime
    shares: Mapping[str, int]
    keep: float


@dataclass(frozen=True, slots=True)
class Settled:
    """What was counted once and for all, up to `until`: by the number of its time and the version, in plain figures.

    The first figure is what was drawn, the others are those of a window. `names` are the thresholds that were counted.
    """

    until: datetime | None = None
    names: tuple[str, ...] = ()
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        until = self.until.isoformat() if self.until is not None else ""
        return {"until": until, "names": list(self.names), "rows": {k: list(v) for k, v in self.rows.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Settled:
        """As it was stored; nothing settled where nothing is stored."""
        if not stored:
            return cls()
        return cls(parse_datetime(stored["until"]), tuple(stored["names"]), stored["rows"])


@dataclass(frozen=True, slots=True)
class Counted:
    """Each arm's window by version, what was drawn at each time, and what is settled for the next look."""

    windows: Mapping[str, ArmWindow]
    drawn: Sequence[Drawn]
    settled: Settled = Settled()


def times_of(
    rollout: Rollout, shares: Mapping[str, int], until: datetime, *, begin: datetime | None = None
) -> list[Time]:
    """The times of an experiment, from the changes that it made: what was audited is what counts.

    `shares` are the planned ones, the control first; `begin` if nothing counts before it.
    """
    control = next(iter(shares))
    changes = list(
        SplitChange.objects.filter(rollout=rollout, kind=SplitChange.Kind.SET)
        .order_by("id")
        .values_list("at", "after")
    )
    found = []
    for index, (at, after) in enumerate(changes):
        since = max(at + SETTLE, begin) if begin is not None else at + SETTLE
        end = min(changes[index + 1][0], until) if index + 1 < len(changes) else until
        present = {version: after[version] for version in shares if after.get(version)}
        if since < end and control in present:
            found.append(Time(since, end, present, min(1.0, shares[control] / present[control])))
    return found


def counted(
    rollout: Rollout,
    versions: Mapping[str, UUID],
    times: Sequence[Time],
    *,
    thresholds: Mapping[str, int],
    feedback: bool,
    settled: Settled | None = None,
) -> Counted:
    """What each arm did over all `times`. `versions` are all arms' ids, the control first.

    One query, and one more where `feedback` counts. `thresholds` are latencies in microseconds by name. `settled` is
    what the look before returned; it is of no use, and left aside, where other thresholds were counted.
    """
    names = tuple(sorted(thresholds))
    before = settled if settled is not None and settled.names == names else Settled(names=names)
    rows = {key: list(figures) for key, figures in before.rows.items()}
    told: Mapping[UUID, Mapping[str, Rate | Sums]] = {}
    if times:
        boundary = max(times[-1].until - LAG, before.until or times[0].since)
        old = _counts(rollout, versions, _clipped(times, before.until, boundary), thresholds)
        new = _counts(rollout, versions, _clipped(times, boundary, None), thresholds)
        rows = _sum(rows, old)
        before = Settled(boundary, names, {key: tuple(figures) for key, figures in rows.items()})
        rows = _sum(rows, new)
        told = _told(rollout, versions, times) if feedback else {}
    totals = {version: [0] * (4 + len(names)) for version in versions}
    for key, (_drawn, *figures) in rows.items():
        version = key.partition(":")[2]
        totals[version] = [have + more for have, more in zip(totals[version], figures, strict=True)]
    return Counted(
        {name: window_of(totals[name], names, told.get(id_, {})) for name, id_ in versions.items()},
        [
            Drawn(
                {v: share / sum(time.shares.values()) for v, share in time.shares.items()},
                {v: rows[f"{n}:{v}"][0] if f"{n}:{v}" in rows else 0 for v in time.shares},
            )
            for n, time in enumerate(times)
        ],
        before,
    )


def _clipped(times: Sequence[Time], since: datetime | None, until: datetime | None) -> dict[int, Time]:
    """What of each time lies after `since` and up to `until`, by the time's number."""
    found = {}
    for number, time in enumerate(times):
        begin = max(time.since, since) if since is not None else time.since
        end = min(time.until, until) if until is not None else time.until
        if begin < end:
            found[number] = Time(begin, end, time.shares, time.keep)
    return found


def _sum(rows: Mapping[str, Sequence[int]], more: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    summed = {key: list(figures) for key, figures in rows.items()}
    for key, figures in more.items():
        have = summed.get(key, [0] * len(figures))
        summed[key] = [one + other for one, other in zip(have, figures, strict=True)]
    return summed


def _values(rollout: Rollout, versions: Mapping[str, UUID], times: Mapping[int, Time]) -> dict[str, Any]:
    """The parameters of a query over these times."""
    control = next(iter(versions))
    rows = [
        (n, time.since, time.until, versions[v], share / 100, time.keep if v == control else 1.0)
        for n, time in times.items()
        for v, share in time.shares.items()
    ]
    return {
        "endpoint": rollout.endpoint_id,
        "begin": rollout.started_at,
        "first": min(row[1] for row in rows),
        "last": max(row[2] for row in rows),
        "number": [row[0] for row in rows],
        "since": [row[1] for row in rows],
        "until": [row[2] for row in rows],
        "version": [row[3] for row in rows],
        "propensity": [row[4] for row in rows],
        "keep": [round(row[5] * 10_000) for row in rows],
    }


def _counts(
    rollout: Rollout, versions: Mapping[str, UUID], times: Mapping[int, Time], thresholds: Mapping[str, int]
) -> dict[str, list[int]]:
    """What was drawn and the figures of a window, by “number of the time:version”."""
    if not times:
        return {}
    slower = "".join(
        f", count(*) FILTER (WHERE {KEPT} AND status < 400 AND latency_us > %({name})s)"
        for name in sorted(thresholds)
    )
    by_id = {id_: name for name, id_ in versions.items()}
    with connection.cursor() as cursor:
        cursor.execute(
            COUNTS.format(kept=KEPT, times=TIMES, slower=slower),
            {**_values(rollout, versions, times), **thresholds},
        )
        return {f"{number}:{by_id[id_]}": list(figures) for number, id_, *figures in cursor.fetchall()}


def _told(
    rollout: Rollout, versions: Mapping[str, UUID], times: Sequence[Time]
) -> dict[UUID, dict[str, Rate | Sums]]:
    """What feedback says of each version, by its id."""
    told: dict[UUID, dict[str, Rate | Sums]] = {}
    with connection.cursor() as cursor:
        values = _values(rollout, versions, dict(enumerate(times)))
        cursor.execute(TOLD.format(kept=KEPT, times=TIMES), values)
        for version, kind, count, total, squares, right in cursor.fetchall():
            told.setdefault(version, {})[metric_of(kind)] = figure_of(kind, count, total, squares, right)
    return told
