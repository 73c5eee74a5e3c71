"""What Prometheus cannot see inside one web process: queues, workers and work by state, read when it scrapes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from governance.audit.selectors import broken_chains
from governance.oversight.selectors import escalated
from governance.privilege.selectors import glass_alarms
from governance.tenants.context import platform_scope
from inference.rollouts.metrics import RolloutCollector
from inference.serving.batch.metrics import BatchCollector
from marketplace.review.models import Submission
from openclaw_site.heartbeats import queue_depths, worker_states

logger = logging.getLogger(__name__)


class SiteCollector(Collector):
    """Gauges of the whole site. A part that does not answer is left out: absent is the truth, zero would be a lie."""

    def collect(self) -> Iterator[Metric]:
        """Called at every scrape, in the request's thread."""
        for part in (_queues, _workers, _submissions, _broken_glass, _broken_chains, _late_decisions):
            yield from _or_nothing(part)

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering must not ask the database."""
        return []


def _or_nothing(part: Callable[[], Metric]) -> list[Metric]:
    try:
        return [part()]
    except Exception:
        logger.warning("metrics: %s did not answer", part.__name__, exc_info=True)
        return []


def _queues() -> Metric:
    metric = GaugeMetricFamily(
        "openclaw_queue_depth", "Messages that wait in a Celery queue.", labels=["queue"]
    )
    for name, depth in queue_depths().items():
        metric.add_metric([name], depth)
    return metric


def _broken_glass() -> Metric:
    metric = GaugeMetricFamily(
        "openclaw_break_glass_open", "Emergency access in force or not yet reviewed by somebody else."
    )
    with platform_scope(), transaction.atomic():
        metric.add_metric([], glass_alarms().count())
    return metric


def _broken_chains() -> Metric:
    metric = GaugeMetricFamily(
        "openclaw_audit_chains_broken", "Audit chains whose latest verification found a change."
    )
    with platform_scope(), transaction.atomic():
        metric.add_metric([], broken_chains().count())
    return metric


def _late_decisions() -> Metric:
    metric = GaugeMetricFamily(
        "openclaw_oversight_escalated", "Decisions that a person did not take in time and that still wait."
    )
    with platform_scope(), transaction.atomic():
        metric.add_metric([], escalated().count())
    return metric


def _workers() -> Metric:
    metric = GaugeMetricFamily(
        "openclaw_workers_alive", "Celery workers that serve a queue.", labels=["queue"]
    )
    counts: dict[str, int] = {}
    for worker in worker_states():
        for queue in worker.queues if worker.alive else ():
            counts[queue] = counts.get(queue, 0) + 1
    for queue, count in counts.items():
        metric.add_metric([queue], count)
    return metric


def _submissions() -> Metric:
    metric = GaugeMetricFamily("openclaw_submissions", "Submissions by state.", labels=["state"])
    with platform_scope(), transaction.atomic():
        rows = Submission.objects.order_by("state").values_list("state").annotate(Count("pk"))
        for state, count in rows:
            metric.add_metric([state], count)
    return metric


def exposition() -> bytes:
    """Prometheus' text format of this process, or of all web processes where the runner started several.

    With several, prometheus-client keeps its numbers in files that every process may read; the collectors that ask
    the database are the same in each and come once.
    """
    if not settings.PROMETHEUS_MULTIPROC_DIR:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    for collector in (SiteCollector(), BatchCollector(), RolloutCollector()):
        registry.register(collector)
    return generate_latest(registry)
