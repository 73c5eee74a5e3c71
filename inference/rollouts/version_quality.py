"""How good an endpoint's versions are by what came back about their answers: labels, rewards, business events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection

from inference.rollouts.analysis.intervals import Interval, wilson
from inference.rollouts.analysis.quality import Calibration, ConfusionMatrix, Estimate, Quality, calibration
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Feedback

MAX_LABELLED = 20_000
# The bootstrap over the cells of a larger matrix would cost more than its figures tell; accuracy is told all the same.
MAX_CLASSES = 60

# A label for an answer is one for what a shadow made of the same input. The newest row of a decision and kind counts.
NEWEST = """
    SELECT DISTINCT ON (decision_id, kind) decision_id, kind, text, number
    FROM rollouts_feedback WHERE endpoint_id = %(endpoint)s AND at > %(since)s
    ORDER BY decision_id, kind, id DESC
"""
LABELLED = f"""
    SELECT o.model_version_id, f.text, o.predicted, o.confidence
    FROM rollouts_outcomerecord o
    JOIN ({NEWEST}) f ON f.decision_id = coalesce(o.mirror_of, o.id) AND f.kind = 'label'
    WHERE o.endpoint_id = %(endpoint)s AND o.at > %(since)s AND o.predicted <> ''
    ORDER BY o.at DESC LIMIT %(most)s
"""  # noqa: S608 - constants of this module
EVENTS = f"""
    SELECT o.model_version_id, f.kind, count(*), sum(f.number), sum(f.number * f.number)
    FROM rollouts_outcomerecord o JOIN ({NEWEST}) f ON f.decision_id = o.id AND f.kind <> 'label'
    WHERE o.endpoint_id = %(endpoint)s AND o.at > %(since)s
    GROUP BY o.model_version_id, f.kind
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, slots=True)
class EventFigures:
    """The mean of a reward or a business event, with its 95 % interval."""

    kind: str
    count: int
    mean: Estimate


@dataclass(frozen=True, slots=True)
class VersionQuality:
    """One version's figures. `quality` is None where there are no labels, or more classes than are told apart here."""

    version_id: UUID
    labelled: int
    accuracy: Estimate
    quality: Quality | None
    calibration: Calibration | None
    events: tuple[EventFigures, ...]


def version_quality(endpoint_id: UUID, *, window: timedelta) -> list[VersionQuality]:
    """The figures of every version that something came back about within the window. Two queries."""
    values: dict[str, Any] = {
        "endpoint": endpoint_id,
        "since": database_time() - window,
        "most": MAX_LABELLED,
    }
    labelled: dict[UUID, list[tuple[str, str, float | None]]] = {}
    events: dict[UUID, list[EventFigures]] = {}
    with connection.cursor() as cursor:
        cursor.execute(LABELLED, values)
        for version, label, predicted, confidence in cursor.fetchall():
            labelled.setdefault(version, []).append((label, predicted, confidence))
        cursor.execute(EVENTS, values)
        for version, kind, count, total, squares in cursor.fetchall():
            events.setdefault(version, []).append(_event(kind, count, total, squares))
    return [
        _figures(version, labelled.get(version, []), tuple(events.get(version, ())))
        for version in sorted(labelled.keys() | events.keys())
    ]


def _figures(
    version: UUID, rows: list[tuple[str, str, float | None]], events: tuple[EventFigures, ...]
) -> VersionQuality:
    right = sum(label == predicted for label, predicted, _confidence in rows)
    matrix = ConfusionMatrix.of([(label, predicted) for label, predicted, _confidence in rows])
    sure = [(confidence, label == said) for label, said, confidence in rows if confidence is not None]
    return VersionQuality(
        version_id=version,
        labelled=len(rows),
        accuracy=Estimate(right / len(rows), wilson(right, len(rows))) if rows else Estimate(None, None),
        quality=matrix.quality() if rows and len(matrix.classes) <= MAX_CLASSES else None,
        calibration=calibration(np.array([c for c, _r in sure]), np.array([r for _c, r in sure]))
        if sure
        else None,
        events=events,
    )


def _event(kind: str, count: int, total: float, squares: float) -> EventFigures:
    mean = total / count
    if kind == Feedback.Kind.TASK_COMPLETED:
        return EventFigures(kind, count, Estimate(mean, wilson(round(total), count)))
    if count < 2:
        return EventFigures(kind, count, Estimate(mean, None))
    # The normal approximation: two values say little, and the interval says so by its width.
    reach = 1.96 * (max(0.0, squares / count - mean * mean) / (count - 1)) ** 0.5
    return EventFigures(kind, count, Estimate(mean, Interval(mean - reach, mean + reach)))
