"""How the predictions of an endpoint's versions are distributed: the bins, and what of each version falls into them.

The bins come from what the stable version answered before a step began, so that nothing that is counted has a say in
them: the test of `analysis.drift.shape_evidence` needs that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from inference.rollouts.spans import Span

CLASSES, CONFIDENCE = "drift_prediction", "drift_confidence"
# More bins tell finer differences apart, and need more answers for any.
MAX_CLASSES = 12
CONFIDENCE_BINS = 8
NEWEST_ANSWERS = 20_000

# Classes, or the edges between confidences. There is one bin more: any other class, or below the first edge.
Bins = list[Any]

# The most frequent classes, each beside how many answers there were at all.
FREQUENT = """
    SELECT predicted, sum(count(*)) OVER () FROM (
        SELECT predicted FROM rollouts_outcomerecord
        WHERE endpoint_id = %s AND model_version_id = %s AND at > %s AND at <= %s AND status < 400
          AND chosen IN ('split', 'sticky') AND predicted <> ''
        ORDER BY at DESC LIMIT %s
    ) newest GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT %s
"""
EDGES = """
    SELECT count(*), min(confidence), percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY confidence) FROM (
        SELECT confidence FROM rollouts_outcomerecord
        WHERE endpoint_id = %s AND model_version_id = %s AND at > %s AND at <= %s AND status < 400
          AND chosen IN ('split', 'sticky') AND confidence <> 'NaN'
        ORDER BY at DESC LIMIT %s
    ) newest
"""
# The rows that `windows.COUNTS` counts, so far as they say a class or a confidence.
COUNTS = """
    SELECT model_version_id, {place}, count(*) FROM rollouts_outcomerecord
    WHERE endpoint_id = %(endpoint)s AND at > %(since)s AND at <= %(until)s AND status < 400 AND {said}
      AND model_version_id = ANY(%(versions)s) AND chosen IN ('split', 'sticky')
      AND (model_version_id <> %(thinned)s OR abs(uuid_hash(id)::bigint) %% 10000 < %(keep)s)
    GROUP BY 1, 2
"""
PLACES = {
    CLASSES: "coalesce(array_position(%(bins)s::text[], predicted::text) - 1, %(others)s)",
    CONFIDENCE: "width_bucket(confidence, %(bins)s::float8[])",
}
SAID = {CLASSES: "predicted <> ''", CONFIDENCE: "confidence <> 'NaN'"}


def prediction_bins(span: Span, version: UUID, names: Sequence[str], *, at_least: int) -> dict[str, Bins]:
    """The bins of the named distributions from a version's newest answers: its most frequent classes, or edges between
    about as many confidences. Those of which fewer than `at_least` answers say anything are left out."""
    where: list[Any] = [span.endpoint_id, version, span.since, span.until, NEWEST_ANSWERS]
    found: dict[str, Bins] = {}
    with connection.cursor() as cursor:
        if CLASSES in names:
            cursor.execute(FREQUENT, [*where, MAX_CLASSES])
            rows = cursor.fetchall()
            if rows and rows[0][1] >= at_least:
                found[CLASSES] = [row[0] for row in rows]
        if CONFIDENCE in names:
            shares = [number / CONFIDENCE_BINS for number in range(1, CONFIDENCE_BINS)]
            cursor.execute(EDGES, [shares, *where])
            row = cursor.fetchone()
            if row is not None and row[0] >= at_least:
                # Where the least confidence is that of many, no edge lies below it.
                found[CONFIDENCE] = sorted({edge for edge in row[2] if edge > row[1]})
    return {name: bins for name, bins in found.items() if bins}


def counts_by_bin(name: str, bins: Bins, values: Mapping[str, Any]) -> dict[UUID, tuple[int, ...]]:
    """Each version's counts in the bins of a distribution. `values` are the parameters of `windows.COUNTS`."""
    counts = {version: [0] * (len(bins) + 1) for version in values["versions"]}
    given = {**values, "bins": bins, "others": len(bins)}
    with connection.cursor() as cursor:
        cursor.execute(COUNTS.format(place=PLACES[name], said=SAID[name]), given)
        for version, place, count in cursor.fetchall():
            counts[version][place] = count
    return {version: tuple(found) for version, found in counts.items()}
