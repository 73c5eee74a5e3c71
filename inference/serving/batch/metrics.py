"""Prometheus metrics of batch predictions, read from the tables: workers are many, the truth is one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from django.db import DatabaseError, transaction
from django.db.models import Count, Sum
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from governance.tenants.context import platform_scope
from inference.serving.models import BatchJob, BatchShard

log = logging.getLogger(__name__)


class BatchCollector(Collector):
    """Jobs and shards by state, and rows still to be computed, at the moment of the scrape."""

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering must not need a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            with platform_scope(), transaction.atomic():
                jobs = list(BatchJob.objects.order_by().values_list("state").annotate(Count("id")))
                open_states = [BatchShard.State.WAITING, BatchShard.State.RUNNING]
                shards = list(
                    BatchShard.objects.order_by()
                    .filter(state__in=open_states)
                    .values_list("state")
                    .annotate(Count("id"), Sum("row_count"))
                )
        except DatabaseError:
            log.exception("batch metrics cannot be read")
            return
        by_state = GaugeMetricFamily("openclaw_batch_jobs", "Batch jobs by state.", labels=["state"])
        for state, count in jobs:
            by_state.add_metric([state], count)
        open_shards = GaugeMetricFamily(
            "openclaw_batch_open_shards", "Shards that wait or run.", labels=["state"]
        )
        open_rows = GaugeMetricFamily(
            "openclaw_batch_open_rows", "Rows of shards that wait or run.", labels=["state"]
        )
        for state, count, rows in shards:
            open_shards.add_metric([state], count)
            open_rows.add_metric([state], rows)
        yield from (by_state, open_shards, open_rows)


def register_batch_metrics() -> None:
    """Make the figures part of /metrics, once per process."""
    if not _registered:
        _registered.append(BatchCollector())
        REGISTRY.register(_registered[0])


_registered: list[BatchCollector] = []
