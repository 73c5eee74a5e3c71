"""The console's pages about batch predictions: the jobs, a new one from a file, and live progress."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from governance.access.decisions import require
from governance.errors import NotFound
from governance.principals import Principal
from inference.rollouts.selectors import visible_endpoints
from inference.serving.models import BatchJob

SHOWN = 100
TONES = {
    BatchJob.State.QUEUED: "info",
    BatchJob.State.RUNNING: "info",
    BatchJob.State.SUCCEEDED: "good",
    BatchJob.State.FAILED: "bad",
    BatchJob.State.CANCELLED: "",
}


def _principal(request: HttpRequest) -> Principal:
    return request.principal  # type: ignore[attr-defined,no-any-return]


def _visible(principal: Principal) -> Any:
    rows = BatchJob.objects.select_related("endpoint", "model_version", "tenant")
    return rows if principal.platform else rows.filter(tenant_id=principal.tenant_id)


@never_cache
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """All jobs and the form for a new one."""
    principal = _principal(request)
    require(principal, "rollouts.endpoint.view")
    context = {
        "rows": [_row(job) for job in _visible(principal).order_by("-id")[:SHOWN]],
        "endpoints": visible_endpoints(principal).order_by("name"),
        "limit": settings.BATCH_UPLOAD_MAX_BYTES,
    }
    return render(request, "serving/jobs.html", context)


def _row(job: BatchJob) -> dict[str, Any]:
    return {"job": job, "tone": TONES[BatchJob.State(job.state)], "busy": job.state == BatchJob.State.RUNNING}


def _found(request: HttpRequest, job_id: UUID) -> BatchJob:
    require(_principal(request), "rollouts.endpoint.view")
    found: BatchJob | None = _visible(_principal(request)).filter(pk=job_id).first()
    if found is None:
        raise NotFound(_("There is no such batch job."))
    return found


@never_cache
@require_safe
def job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """One job, which refreshes itself."""
    return render(request, "serving/job.html", _row(_found(request, job_id)))


@never_cache
@require_safe
def job_live(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The part that is fetched again."""
    return render(request, "serving/job_live.html", _row(_found(request, job_id)))
