"""What an endpoint's records say over hours and days: latency as a histogram, the error budget, and quality by day and
by class, of each version."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from inference.rollouts.analysis.intervals import wilson
from inference.rollouts.analysis.quality import Estimate
from inference.rollouts.lifecycle import database_time
from inference.rollouts.version_quality import NEWEST

# Upper bounds of the bars in milliseconds; what took longer is in one more.
BOUNDS_MS = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)
LATENCY_WINDOW = timedelta(hours=1)
BUDGET_WINDOW = timedelta(days=7)
QUALITY_DAYS = 14
MAX_CLASSES = 20

HISTOGRAM = """
    SELECT model_version_id, width_bucket(latency_us, %(bounds)s::integer[]) AS bar, count(*)
    FROM rollouts_outcomerecord
    WHERE endpoint_id = %(endpoint)s AND at > %(since)s AND chosen <> 'shadow' AND status < 400
          AND model_version_id IS NOT NULL
    GROUP BY model_version_id, bar
"""
BUDGET = """
    SELECT count(*), count(*) FILTER (WHERE status >= 500),
           count(*) FILTER (WHERE at > %(lately)s), count(*) FILTER (WHERE status >= 500 AND at > %(lately)s)
    FROM rollouts_outcomerecord
    WHERE endpoint_id = %(endpoint)s AND at > %(since)s AND chosen <> 'shadow'
"""
LABELLED = f"""
    SELECT o.model_version_id, {{part}} AS part, count(*), count(*) FILTER (WHERE o.predicted = f.text)
    FROM rollouts_outcomerecord o
    JOIN ({NEWEST}) f ON f.decision_id = coalesce(o.mirror_of, o.id) AND f.kind = 'label'
    WHERE o.endpoint_id = %(endpoint)s AND o.at > %(since)s AND o.predicted <> ''
    GROUP BY o.model_version_id, part
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long one version took: answers per bar, as many bars as `BOUNDS_MS` has bounds and one."""

    version_id: UUID
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """How many failures (5xx) an objective allows, and how many there were. `objective` is a share, such as 0.999.

    `burn_rate` is how many times faster than allowed the budget was used in the last hour: at 1 it lasts exactly as
    long as the window (Beyer et al., The Site Reliability Workbook, 2018, chapter 5). None where nobody asked.
    """

    objective: float
    requests: int
    errors: int
    burn_rate: float | None

    @property
    def allowed(self) -> float:
        return (1 - self.objective) * self.requests

    @property
    def used(self) -> float | None:
        """The used share of the budget, above 1 when it is overdrawn; None without requests."""
        return self.errors / self.allowed if self.requests else None


@dataclass(frozen=True, slots=True)
class Share:
    """Of how many labelled answers how many were right, with the 95 % interval: one version's, of one day or class."""

    version_id: UUID
    part: str
    labelled: int
    right: int
    accuracy: Estimate


def histograms(endpoint_id: UUID) -> list[Histogram]:
    """The latencies of successful answers of the last hour, by version. One query."""
    values: dict[str, Any] = {
        "endpoint": endpoint_id,
        "since": database_time() - LATENCY_WINDOW,
        "bounds": [int(1000 * bound) for bound in BOUNDS_MS],
    }
    counts: dict[UUID, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS_MS) + 1))
    with connection.cursor() as cursor:
        cursor.execute(HISTOGRAM, values)
        for version, bar, count in cursor.fetchall():
            counts[version][bar] = count
    return [Histogram(version, tuple(found)) for version, found in sorted(counts.items())]


def error_budget(endpoint_id: UUID, *, objective: float) -> ErrorBudget:
    """The budget of the last seven days. One query. `objective` lies between 0 and 1, both excluded."""
    now = database_time()
    values: dict[str, Any] = {
        "endpoint": endpoint_id,
        "since": now - BUDGET_WINDOW,
        "lately": now - timedelta(hours=1),
    }
    with connection.cursor() as cursor:
        cursor.execute(BUDGET, values)
        requests, errors, lately, lately_errors = cursor.fetchone() or (0, 0, 0, 0)
    burn_rate = lately_errors / lately / (1 - objective) if lately else None
    return ErrorBudget(objective, requests, errors, burn_rate)


def quality_by_day(endpoint_id: UUID) -> list[Share]:
    """The accuracy of each version on each of the last days on which labels exist, in UTC, oldest first. One query."""
    return _shares(endpoint_id, "(o.at AT TIME ZONE 'UTC')::date::text")


def quality_by_class(endpoint_id: UUID) -> list[Share]:
    """The accuracy of each version on the answers of each right class, the most frequent classes first. One query."""
    found = _shares(endpoint_id, "f.text")
    totals: dict[str, int] = defaultdict(int)
    for share in found:
        totals[share.part] += share.labelled
    kept = sorted(totals, key=lambda part: (-totals[part], part))[:MAX_CLASSES]
    order = {part: index for index, part in enumerate(kept)}
    return sorted(
        (share for share in found if share.part in order),
        key=lambda share: (order[share.part], share.version_id),
    )


def days() -> list[str]:
    """The days that `quality_by_day` speaks of, oldest first."""
    today: date = database_time().date()
    return [str(today - timedelta(days=back)) for back in range(QUALITY_DAYS - 1, -1, -1)]


def _shares(endpoint_id: UUID, part: str) -> list[Share]:
    values: dict[str, Any] = {
        "endpoint": endpoint_id,
        "since": database_time() - timedelta(days=QUALITY_DAYS),
    }
    with connection.cursor() as cursor:
        cursor.execute(LABELLED.format(part=part), values)
        rows = cursor.fetchall()
    return [
        Share(version, str(name), count, right, Estimate(right / count, wilson(right, count)))
        for version, name, count, right in sorted(rows, key=lambda row: (str(row[1]), row[0]))
    ]
