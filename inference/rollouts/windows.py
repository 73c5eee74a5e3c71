"""What the arms of a rollout did since a step began, counted by the database from outcome records and feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import connection

from inference.rollouts.analysis.sequential import Rate, Sums
from inference.rollouts.analysis.windows import ArmWindow
from inference.rollouts.distributions import Bins, counts_by_bin
from inference.rollouts.spans import Span

# A changed split is everywhere within a second; what was answered before that belongs to the step before.
SETTLE = timedelta(seconds=1)
THRESHOLD_ANSWERS = 20_000
THRESHOLD_WINDOW = timedelta(hours=1)

# Only what the split or a session decided is a fair sample of the traffic. An answer of 4xx is the caller's mistake, or
# the version's that refuses what the other takes: it is no error, and counted by itself. `keep` draws from one
# version's answers a part that is as large as the other arm, by the decision's id.
COUNTS = """
    SELECT model_version_id,
           count(*) FILTER (WHERE status < 400 OR status >= 500),
           count(*) FILTER (WHERE status >= 500),
           count(*) FILTER (WHERE status BETWEEN 400 AND 499),
           count(*) FILTER (WHERE status < 400)
           {slower}
    FROM rollouts_outcomerecord
    WHERE endpoint_id = %(endpoint)s AND at > %(since)s AND at <= %(until)s
      AND model_version_id = ANY(%(versions)s) AND chosen IN ('split', 'sticky')
      AND (model_version_id <> %(thinned)s OR abs(uuid_hash(id)::bigint) %% 10000 < %(keep)s)
    GROUP BY model_version_id
"""
# The newest row of a decision and kind counts.
TOLD = """
    SELECT o.model_version_id, f.kind, count(*), coalesce(sum(f.number), 0), coalesce(sum(f.number * f.number), 0),
           count(*) FILTER (WHERE f.text = o.predicted)
    FROM rollouts_outcomerecord o
    JOIN (
        SELECT DISTINCT ON (decision_id, kind) decision_id, kind, text, number
        FROM rollouts_feedback WHERE endpoint_id = %(endpoint)s AND at > %(since)s
        ORDER BY decision_id, kind, id DESC
    ) f ON f.decision_id = o.id
    WHERE o.endpoint_id = %(endpoint)s AND o.at > %(since)s AND o.at <= %(until)s
      AND o.model_version_id = ANY(%(versions)s) AND o.chosen IN ('split', 'sticky')
      AND (f.kind <> 'label' OR o.predicted <> '')
      AND (o.model_version_id <> %(thinned)s OR abs(uuid_hash(o.id)::bigint) %% 10000 < %(keep)s)
    GROUP BY o.model_version_id, f.kind
"""
ASKED = """
    SELECT count(*), count(*) FILTER (WHERE model_version_id = %s) FROM rollouts_outcomerecord
    WHERE endpoint_id = %s AND at > %s AND chosen IN ('split', 'sticky', 'stand_in')
"""
QUANTILES = """
    SELECT count(*), percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY latency_us) FROM (
        SELECT latency_us FROM rollouts_outcomerecord
        WHERE endpoint_id = %s AND model_version_id = %s AND at > %s AND at <= %s AND status < 400
          AND chosen IN ('split', 'sticky')
        ORDER BY at DESC LIMIT %s
    ) newest
"""


def arm_windows(
    span: Span,
    versions: list[UUID],
    *,
    thresholds: Mapping[str, int],
    feedback: bool,
    bins: Mapping[str, Bins] | None = None,
    thinned: UUID | None = None,
    keep: float = 1.0,
) -> dict[UUID, ArmWindow]:
    """What each version did within the span. One query, one more where `feedback` counts, and one for each of `bins`.

    `thresholds` are latencies in microseconds by name. Of the version `thinned` only the share `keep` is counted.
    """
    names = sorted(thresholds)
    slower = "".join(f", count(*) FILTER (WHERE status < 400 AND latency_us > %({name})s)" for name in names)
    values: dict[str, Any] = {
        "endpoint": span.endpoint_id,
        "since": span.since,
        "until": span.until,
        "versions": versions,
        "thinned": thinned or UUID(int=0),
        "keep": round(keep * 10_000),
        **thresholds,
    }
    told: dict[UUID, dict[str, Rate | Sums]] = {}
    with connection.cursor() as cursor:
        if feedback:
            cursor.execute(TOLD, values)
            for version, kind, count, total, squares, right in cursor.fetchall():
                told.setdefault(version, {})[metric_of(kind)] = figure_of(kind, count, total, squares, right)
        cursor.execute(COUNTS.format(slower=slower), values)
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
    shapes = {name: counts_by_bin(name, found, values) for name, found in (bins or {}).items()}
    return {
        version: window_of(
            rows.get(version, (0,) * (4 + len(names))),
            names,
            told.get(version, {}),
            {name: found[version] for name, found in shapes.items()},
        )
        for version in versions
    }


def answered_at_all(endpoint_id: UUID, version_id: UUID | None, since: datetime) -> tuple[int, int]:
    """How many requests came in that named no version and that no rule decided, and how many the version answered."""
    with connection.cursor() as cursor:
        cursor.execute(ASKED, [version_id, endpoint_id, since])
        row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def latency_thresholds(
    span: Span, version: UUID, quantiles: Mapping[str, float], *, at_least: int
) -> dict[str, int] | None:
    """Quantiles of a version's latency in microseconds, by name; None while it has too few answers to tell."""
    if not quantiles:
        return {}
    names = sorted(quantiles)
    with connection.cursor() as cursor:
        cursor.execute(
            QUANTILES,
            [
                [quantiles[name] for name in names],
                span.endpoint_id,
                version,
                span.since,
                span.until,
                THRESHOLD_ANSWERS,
            ],
        )
        row = cursor.fetchone()
    if row is None or row[0] < at_least:
        return None
    return dict(zip(names, map(int, row[1]), strict=True))


def window_of(
    row: Sequence[int],
    names: Sequence[str],
    told: Mapping[str, Rate | Sums],
    shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> ArmWindow:
    """A window from a row of counts: requests, errors, refused, timed, then those slower than each named threshold."""
    requests, errors, refused, timed, *slower = row
    return ArmWindow(
        requests=requests,
        errors=errors,
        timed=timed,
        slower=dict(zip(names, slower, strict=True)),
        rates={"refused": Rate(requests + refused, refused)}
        | {name: figure for name, figure in told.items() if isinstance(figure, Rate)},
        sums={name: figure for name, figure in told.items() if isinstance(figure, Sums)},
        shapes=shapes,
    )


def metric_of(kind: str) -> str:
    """What a kind of feedback tells."""
    return "accuracy" if kind == "label" else kind


def figure_of(kind: str, count: int, total: float, squares: float, right: int) -> Rate | Sums:
    """A kind of feedback's figure, from its count, its sums, and how many labels were what was predicted."""
    if kind == "label":
        return Rate(count, right)
    if kind == "task_completed":
        return Rate(count, round(total))
    return Sums(count, total, squares)
