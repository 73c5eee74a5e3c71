"""The state of the house: what the console's first page shows, part by part, so that one failure hides no other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis

from governance.access.decisions import decide
from governance.keys.selectors import provider_state
from governance.principals import Principal
from inference.rollouts.charts import Line, line
from inference.rollouts.figures import series
from inference.rollouts.overview import EndpointRow, endpoint_rows
from inference.rollouts.selectors import visible_endpoints
from inference.serving.models import BatchJob
from marketplace.review.models import Submission
from marketplace.review.selectors import counts_by_state
from openclaw_site.heartbeats import WorkerState, queue_depths, worker_states
from openclaw_site.readiness import readiness

SLOTS = 60
SLOT_S = 5


@dataclass(slots=True)
class House:
    """Everything on the page. None means that the principal may not see it or that the part did not answer."""

    endpoints: list[EndpointRow] | None = None
    traffic: Line | None = None
    latency: Line | None = None
    totals: dict[str, float | None] = field(default_factory=dict)
    workers: list[WorkerState] | None = None
    queues: dict[str, int] | None = None
    submissions: list[tuple[str, int]] | None = None
    jobs: list[Any] | None = None
    parts: dict[str, str] | None = None
    key_warnings: tuple[str, ...] = ()


def house(principal: Principal) -> House:
    """The state of the house as far as this principal may see it."""
    found = House()
    if decide(principal, "rollouts.endpoint.view").allow:
        _traffic(found, principal)
    if decide(principal, "serving.batch.view").allow:
        _jobs(found, principal)
    if decide(principal, "review.submission.inspect").allow:
        _submissions(found)
    if principal.platform:
        found.parts = readiness().parts
        if decide(principal, "keys.key.view").allow:
            found.key_warnings = provider_state().warnings
        try:
            found.workers = worker_states()
            found.queues = queue_depths()
        except redis.RedisError:
            found.workers, found.queues = None, None
    return found


def _traffic(found: House, principal: Principal) -> None:
    endpoints = list(visible_endpoints(principal)[:100])
    found.endpoints = endpoint_rows(endpoints)
    moments = series([endpoint.id for endpoint in endpoints], slots=SLOTS, slot_s=SLOT_S)
    found.traffic = line([moment.per_second for moment in moments])
    found.latency = line([moment.p99_ms for moment in moments])
    all_figures = [arm.figures for row in found.endpoints for arm in row.arms if arm.figures]
    all_figures += [row.without_version for row in found.endpoints if row.without_version]
    requests = sum(f.requests for f in all_figures)
    latest = moments[-3:]
    p50 = [(f.p50_ms, f.requests) for f in all_figures if f.p50_ms is not None]
    found.totals = {
        "per_second": sum(moment.per_second for moment in latest) / len(latest),
        "requests": requests,
        "errors": sum(f.errors for f in all_figures),
        "error_percent": 100 * sum(f.errors for f in all_figures) / requests if requests else None,
        "p50_ms": sum(ms * count for ms, count in p50) / sum(count for _ms, count in p50) if p50 else None,
        "p99_ms": max((f.p99_ms for f in all_figures if f.p99_ms is not None), default=None),
    }


def _submissions(found: House) -> None:
    labels = dict(Submission.State.choices)
    found.submissions = [(str(labels[state]), count) for state, count in counts_by_state()]


def _jobs(found: House, principal: Principal) -> None:
    rows = BatchJob.objects.order_by("-id")
    if not principal.platform and principal.tenant_id is not None:
        rows = rows.filter(tenant_id=principal.tenant_id)
    found.jobs = list(rows[:5])
