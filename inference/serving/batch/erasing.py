"""What an erasure does to batch jobs: a running one stops, its files go, its row stays."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext as _

from governance.data import erasers, lineage, people
from governance.data.erasers import Handled, Outcome, when_committed
from governance.data.lineage import Trace
from governance.refs import ObjectRef
from inference.serving.batch import files
from inference.serving.batch.cataloguing import INPUT, RESULT, input_ref, result_ref
from inference.serving.batch.services import end_job
from inference.serving.batch.states import JOB_STATES
from inference.serving.models import BatchJob


def _trace(job_id: str, tenant_id: UUID) -> Trace | None:
    job = _job(job_id, tenant_id)
    return Trace(result_ref(job), {str(_("File")): job.filename}) if job else None


def _erase_input(target: ObjectRef, tenant_id: UUID) -> Handled:
    job = _job(target.id, tenant_id)
    if job is None:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    _stop(job)
    when_committed(lambda: _remove_input(job), f"input of batch job {job.id}")
    return Handled(Outcome.ERASED, _("the uploaded file was removed"))


def _erase_result(target: ObjectRef, tenant_id: UUID) -> Handled:
    job = _job(target.id, tenant_id)
    if job is None:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    _stop(job)
    when_committed(lambda: _remove_result(job), f"result of batch job {job.id}")
    return Handled(Outcome.ERASED, _("the result was removed"))


def _remove_input(job: BatchJob) -> None:
    files.remove_shards(job)
    files.input_path(job).delete()


def _remove_result(job: BatchJob) -> None:
    files.remove_shards(job)
    files.result_path(job).delete()


def _stop(job: BatchJob) -> None:
    if JOB_STATES.allows(job.state, BatchJob.State.CANCELLED):
        end_job(job, BatchJob.State.CANCELLED, error=_("Its data was erased."))


def _jobs_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    for job in BatchJob.objects.filter(tenant_id=tenant_id, created_by_id=subject):
        yield result_ref(job)


def _inputs_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    for job in BatchJob.objects.filter(tenant_id=tenant_id, created_by_id=subject):
        yield input_ref(job)


def _job(job_id: str, tenant_id: UUID) -> BatchJob | None:
    try:
        rows = BatchJob.objects.select_for_update(of=("self",))
        return rows.filter(pk=UUID(job_id), tenant_id=tenant_id).first()
    except ValueError:
        return None


def register_with_catalogue() -> None:
    """Hand the catalogue what it cannot know: erasers and the resolver of batch jobs."""
    erasers.register(INPUT, erase=_erase_input, find=_inputs_of)
    erasers.register(RESULT, erase=_erase_result, find=_jobs_of)
    people.pseudonymise(BatchJob, "created_by_id", instead={"created_by_label": people.ERASED})
    lineage.register_resolver("batch-job", _trace)
