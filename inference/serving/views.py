"""The console's pages about batch predictions: the jobs, a new one from a file or a dataset, and live progress."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.data.models import Label
from governance.data.selectors import lendable_datasets
from governance.data.words import SUBJECT_NAMES
from governance.errors import AccessDenied, DomainError, InvalidInput, NotFound
from governance.ethics.use import Use
from inference.registry.models import TrainingReference
from inference.rollouts.selectors import visible_endpoints
from inference.serving.batch.pausing import pause_batch_job, resume_batch_job
from inference.serving.batch.referencing import make_reference
from inference.serving.batch.selectors import job_for, stopping, visible_jobs
from inference.serving.batch.services import cancel_batch_job, create_batch_job
from inference.serving.batch.states import JOB_STATES
from inference.serving.models import BatchJob, BatchShard

SHOWN = 100
State = BatchJob.State
OPEN = (State.QUEUED, State.RUNNING)
TONES = {
    State.QUEUED: "info",
    State.RUNNING: "info",
    State.PAUSED: "warn",
    State.SUCCEEDED: "good",
    State.FAILED: "bad",
    State.CANCELLED: "",
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.non_atomic_requests
def jobs(request: HttpRequest) -> HttpResponse:
    """All jobs and the form for a new one. The file is written before any transaction begins."""
    error: DomainError | None = None
    if request.method == "POST":
        try:
            made = _create(request)
        except AccessDenied:
            raise
        except DomainError as refused:
            error = refused
        else:
            return HttpResponseRedirect(reverse("batch-job", args=[made.id]))
    principal = principal_of(request)
    with transaction.atomic():
        require(principal, "serving.batch.request")
        context = {
            "rows": [_row(job) for job in visible_jobs(principal).order_by("-id")[:SHOWN]],
            "endpoints": visible_endpoints(principal).order_by("name"),
            "datasets": lendable_datasets(principal).order_by("name")
            if decide(principal, "data.asset.view").allow
            else (),
            "limit": settings.BATCH_UPLOAD_MAX_BYTES,
            "labels": Label.choices,
            "subjects": SUBJECT_NAMES,
            "result_formats": BatchJob.ResultFormat.choices,
            "may_create": decide(principal, "serving.batch.create").allow,
            "error": error,
        }
        return render(request, "serving/jobs.html", context, status=error.status if error else 200)


def _create(request: HttpRequest) -> BatchJob:
    file = request.FILES.get("file")
    dataset = _dataset_id(request.POST.get("dataset", ""))
    if file is None and dataset is None:
        raise InvalidInput(_("Choose a file or a dataset first."))
    return create_batch_job(
        principal=principal_of(request),
        endpoint_name=request.POST.get("endpoint", ""),
        filename=(file.name or "") if file else "",
        chunks=file.chunks() if file else (),
        dataset_id=dataset,
        use=_use(request.POST.get("purpose", "")),
        label=request.POST.get("label", ""),
        subjects=request.POST.getlist("subjects"),
        region=request.POST.get("region", "").strip(),
        result_format=request.POST.get("result_format", BatchJob.ResultFormat.JSONL),
    )


def _dataset_id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise NotFound(_("There is no such dataset.")) from None


def _use(purpose: str) -> Use:
    try:
        return Use.parse(purpose, "")
    except ValueError:
        raise InvalidInput(_("A purpose has lower-case letters, digits and single hyphens.")) from None


def _row(job: BatchJob) -> dict[str, Any]:
    return {"job": job, "tone": TONES[State(job.state)], "busy": job.state in OPEN}


def _detail(request: HttpRequest, job_id: UUID) -> dict[str, Any]:
    principal = principal_of(request)
    found = job_for(principal, job_id)
    shards = list(found.shards.order_by("index"))
    may_stop = decide(principal, stopping(principal, found), found).allow
    return _row(found) | {
        "shards": shards,
        "done": sum(shard.rows_done for shard in shards),
        "under_way": sum(shard.state == BatchShard.State.RUNNING for shard in shards),
        "may_cancel": may_stop and JOB_STATES.allows(found.state, State.CANCELLED),
        "may_pause": may_stop and JOB_STATES.allows(found.state, State.PAUSED),
        "may_resume": may_stop and found.state == State.PAUSED,
        "reference": TrainingReference.objects.filter(job_id=found.id).first(),
        "may_refer": found.state == State.SUCCEEDED
        and decide(principal, "registry.version.reference", found.model_version).allow,
        "result_url": f"/api/v1/batch-jobs/{found.id}/result/" if found.state == State.SUCCEEDED else "",
    }


@never_cache
@require_safe
def job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """One job, which refreshes itself."""
    return render(request, "serving/job.html", _detail(request, job_id))


@never_cache
@require_safe
def job_live(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The part that is fetched again."""
    return render(request, "serving/job_live.html", _detail(request, job_id))


@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Stop a job."""
    cancel_batch_job(principal=principal_of(request), job_id=job_id, reason=_("cancelled in the console"))
    messages.success(request, _("The job is cancelled."))
    return HttpResponseRedirect(reverse("batch-job", args=[job_id]))


@require_POST
def pause(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Let no new shard begin."""
    pause_batch_job(principal=principal_of(request), job_id=job_id, reason=_("paused in the console"))
    messages.success(request, _("The job is paused. What is under way is finished and counts."))
    return HttpResponseRedirect(reverse("batch-job", args=[job_id]))


@require_POST
def resume(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Go on where the job was paused."""
    resume_batch_job(principal=principal_of(request), job_id=job_id, reason=_("resumed in the console"))
    messages.success(request, _("The job goes on where it was paused."))
    return HttpResponseRedirect(reverse("batch-job", args=[job_id]))


@require_POST
def refer(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Make the job's rows the training reference of its version."""
    make_reference(principal=principal_of(request), job_id=job_id)
    messages.success(request, _("The training reference is being made from the rows of this job."))
    return HttpResponseRedirect(reverse("batch-job", args=[job_id]))
