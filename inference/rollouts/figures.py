"""Figures of endpoints, computed from the outcome records: requests, errors, latency, by version and over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

# Both read the covering index `rollouts_outcome_figures` alone; what a shadow computed was no request. An answer of 500
# and above is an error of ours; 4xx is the caller's and is counted separately, so that a badly written client cannot
# spoil a version's record.
BY_VERSION = """
    SELECT endpoint_id, model_version_id, count(*),
           count(*) FILTER (WHERE status >= 500),
           count(*) FILTER (WHERE status BETWEEN 400 AND 499),
           percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_us) FILTER (WHERE status < 400)
    FROM rollouts_outcomerecord
    WHERE endpoint_id = ANY(%s) AND at > %s AND chosen <> 'shadow'
    GROUP BY endpoint_id, model_version_id
"""
OVER_TIME = """
    SELECT floor(extract(epoch FROM at) / %s)::bigint AS slot, count(*), count(*) FILTER (WHERE status >= 500),
           percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_us) FILTER (WHERE status < 400)
    FROM rollouts_outcomerecord
    WHERE endpoint_id = ANY(%s) AND at > %s AND chosen <> 'shadow'
    GROUP BY slot
"""


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """What one version behind one endpoint did in the window. Latencies are of successful answers, in milliseconds."""

    endpoint_id: UUID
    version_id: UUID | None
    requests: int
    errors: int
    refused: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    window_s: float

    @property
    def per_second(self) -> float:
        return self.requests / self.window_s

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """One slot of a series, oldest first."""

    per_second: float
    errors: int
    p99_ms: float | None


def version_figures(endpoint_ids: Sequence[UUID], *, window: timedelta) -> list[VersionFigures]:
    """The figures of every version behind these endpoints that was asked within the window. One query."""
    if not endpoint_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(BY_VERSION, [list(endpoint_ids), timezone.now() - window])
        rows = cursor.fetchall()
    return [
        VersionFigures(
            endpoint_id=endpoint,
            version_id=version,
            requests=requests,
            errors=errors,
            refused=refused,
            p50_ms=percentiles[0] / 1000 if percentiles and percentiles[0] is not None else None,
            p95_ms=percentiles[1] / 1000 if percentiles and percentiles[1] is not None else None,
            p99_ms=percentiles[2] / 1000 if percentiles and percentiles[2] is not None else None,
            window_s=window.total_seconds(),
        )
        for endpoint, version, requests, errors, refused, percentiles in rows
    ]


def series(
    endpoint_ids: Sequence[UUID], *, slots: int, slot_s: int, now: datetime | None = None
) -> list[Moment]:
    """Requests per second and latency of these endpoints together in `slots` equal slots up to now. One query."""
    moment = now or timezone.now()
    last = int(moment.timestamp()) // slot_s
    found: dict[int, tuple[int, int, float | None]] = {}
    if endpoint_ids:
        since = moment - timedelta(seconds=slots * slot_s)
        with connection.cursor() as cursor:
            cursor.execute(OVER_TIME, [slot_s, list(endpoint_ids), since])
            found = {slot: (count, errors, p99) for slot, count, errors, p99 in cursor.fetchall()}
    # The present slot is still filling up; showing it would always look like a drop.
    return [
        Moment(
            per_second=found.get(slot, (0, 0, None))[0] / slot_s,
            errors=found.get(slot, (0, 0, None))[1],
            p99_ms=(p99 / 1000 if (p99 := found.get(slot, (0, 0, None))[2]) is not None else None),
        )
        for slot in range(last - slots, last)
    ]
