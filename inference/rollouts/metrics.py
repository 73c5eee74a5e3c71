"""Prometheus metrics of rollouts and feedback, read from the tables: controllers are many, the truth is one.

Labels are bounded: kinds, states and verdicts, and for the figures of versions the endpoints that got feedback within
the last hour, of which at most `MAX_SERIES` are shown.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Min
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from governance.tenants.context import platform_scope
from inference.registry.models import ModelVersion
from inference.rollouts.analysis.quality import ConfusionMatrix
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Endpoint, Rollout, RolloutLook
from inference.rollouts.reference_drift import version_drift
from inference.rollouts.spans import Span

log = logging.getLogger(__name__)

LOOKS_WINDOW = timedelta(hours=1)
MAX_SERIES = 500
# The mean of each kind of feedback per version; for labels, the share that the version had said. Newest values count.
TOLD = """
    SELECT o.tenant_id, e.name, v.version, f.kind, count(*),
           CASE f.kind WHEN 'label' THEN avg((f.text = o.predicted)::int)::float8 ELSE avg(f.number) END
    FROM (
        SELECT DISTINCT ON (decision_id, kind) decision_id, kind, text, number
        FROM rollouts_feedback WHERE at > %s ORDER BY decision_id, kind, id DESC
    ) f
    JOIN rollouts_outcomerecord o ON o.id = f.decision_id AND (f.kind <> 'label' OR o.predicted <> '')
    JOIN rollouts_endpoint e ON e.id = o.endpoint_id
    JOIN registry_modelversion v ON v.id = o.model_version_id
    GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT %s
"""
# How often a version predicted what, and what it was: of the versions with the most labels.
LABELLED = """
    WITH told AS (
        SELECT DISTINCT ON (f.decision_id) f.text AS label, o.predicted, o.tenant_id, o.endpoint_id, o.model_version_id
        FROM rollouts_feedback f JOIN rollouts_outcomerecord o ON o.id = f.decision_id
        WHERE f.kind = 'label' AND f.at > %s AND o.predicted <> '' ORDER BY f.decision_id, f.id DESC
    ), busy AS (
        SELECT endpoint_id, model_version_id FROM told GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT %s
    )
    SELECT t.tenant_id, e.name, v.version, t.label, t.predicted, count(*)
    FROM told t JOIN busy USING (endpoint_id, model_version_id)
    JOIN rollouts_endpoint e ON e.id = t.endpoint_id
    JOIN registry_modelversion v ON v.id = t.model_version_id
    GROUP BY 1, 2, 3, 4, 5
"""
MAX_MEASURED = 100
# The versions that anything was counted of lately, the busiest first, with each endpoint that they stand behind.
REFERENCED = """
    SELECT a.endpoint_id, r.model_version_id, sum(i.rows)
    FROM registry_trainingreference r
    JOIN rollouts_inputcount i ON i.model_version_id = r.model_version_id AND i.revision = r.revision AND i.at > %s
    JOIN rollouts_endpointarm a ON a.model_version_id = r.model_version_id
    GROUP BY 1, 2 ORDER BY 3 DESC LIMIT %s
"""
# Each costs some queries at every scrape.
MAX_DRIFTING = 50


class RolloutCollector(Collector):
    """Rollouts by state, how late the controller is, and what came back about versions."""

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering must not need a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            with platform_scope(), transaction.atomic():
                families = [*_rollouts(), *_feedback(), *_quality(), *_drift()]
        except DatabaseError:
            log.exception("metrics of rollouts cannot be read")
            return
        yield from families


def _rollouts() -> list[Metric]:
    now = database_time()
    by_state = GaugeMetricFamily("openclaw_rollouts", "Rollouts by kind and state.", labels=["kind", "state"])
    for kind, state, count in Rollout.objects.order_by().values_list("kind", "state").annotate(Count("id")):
        by_state.add_metric([kind, state], count)
    looks = GaugeMetricFamily(
        "openclaw_rollout_looks", "Looks written down within the last hour, by verdict.", labels=["verdict"]
    )
    recent = RolloutLook.objects.order_by().filter(at__gt=now - LOOKS_WINDOW)
    for verdict, count in recent.values_list("verdict").annotate(Count("id")):
        looks.add_metric([verdict], count)
    running = Rollout.objects.filter(state=Rollout.State.RUNNING)
    oldest = running.aggregate(oldest=Min("looked_at"))["oldest"]
    age = GaugeMetricFamily(
        "openclaw_rollout_oldest_look_seconds",
        "How long ago the running rollout that waits longest was looked at.",
    )
    age.add_metric([], max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)
    return [by_state, looks, age]


def _feedback() -> list[Metric]:
    names = ["tenant", "endpoint", "version", "kind"]
    means = GaugeMetricFamily(
        "openclaw_feedback_mean",
        "Mean of the feedback of the last hour; for labels the share of answers that were right.",
        labels=names,
    )
    counts = GaugeMetricFamily("openclaw_feedback_count", "Decisions with such feedback.", labels=names)
    with connection.cursor() as cursor:
        cursor.execute(TOLD, [database_time() - LOOKS_WINDOW, MAX_SERIES])
        for tenant, endpoint, version, kind, count, mean in cursor.fetchall():
            counts.add_metric([str(tenant), endpoint, version, kind], count)
            means.add_metric([str(tenant), endpoint, version, kind], mean)
    return [means, counts]


def _quality() -> list[Metric]:
    figures = GaugeMetricFamily(
        "openclaw_prediction_quality",
        "Of the labels of the last hour: accuracy, and the means over all classes of precision, recall and F1.",
        labels=["tenant", "endpoint", "version", "figure"],
    )
    told: dict[tuple[str, str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    with connection.cursor() as cursor:
        cursor.execute(LABELLED, [database_time() - LOOKS_WINDOW, MAX_MEASURED])
        for tenant, endpoint, version, label, predicted, count in cursor.fetchall():
            told[str(tenant), endpoint, version][label, predicted] += count
    for labels, pairs in told.items():
        quality = ConfusionMatrix.counted(pairs).quality(draws=0)
        for figure, estimate in (
            ("accuracy", quality.accuracy),
            ("precision", quality.macro.precision),
            ("recall", quality.macro.recall),
            ("f1", quality.macro.f1),
        ):
            if estimate.value is not None:
                figures.add_metric([*labels, figure], estimate.value)
    return [figures]


def _drift() -> list[Metric]:
    """One series for each endpoint and version: features are as many as a model has, so only the worst is told."""
    names = ["tenant", "endpoint", "version"]
    worst = GaugeMetricFamily(
        "openclaw_reference_drift_worst",
        "Population stability index against the training reference, of the feature that moved most in the last hour.",
        labels=names,
    )
    counts = GaugeMetricFamily(
        "openclaw_reference_drift_values", "Values that the index rests on.", labels=names
    )
    now = database_time()
    with connection.cursor() as cursor:
        cursor.execute(REFERENCED, [now - LOOKS_WINDOW, MAX_DRIFTING])
        found = [(endpoint, version) for endpoint, version, _rows in cursor.fetchall()]
    endpoints = Endpoint.objects.in_bulk([endpoint for endpoint, _version in found])
    versions = ModelVersion.objects.select_related("reference").in_bulk(
        [version for _endpoint, version in found]
    )
    for endpoint_id, version_id in found:
        version, span = versions[version_id], Span(endpoint_id, now - LOOKS_WINDOW, now)
        part = version_drift(version, span).worst
        if part is not None and part.drift is not None:
            labels = [str(version.tenant_id), endpoints[endpoint_id].name, version.version]
            worst.add_metric(labels, part.drift.index)
            counts.add_metric(labels, part.count)
    return [worst, counts]


def register_rollout_metrics() -> None:
    """Make the figures part of /metrics, once per process."""
    if not _registered:
        _registered.append(RolloutCollector())
        REGISTRY.register(_registered[0])


_registered: list[RolloutCollector] = []
