"""What people and programs do with batch jobs: start one, stop one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require, require_obligations
from governance.audit.services import record
from governance.data.models import Dataset
from governance.errors import Conflict, InvalidInput, NotFound, ObligationUnmet, TooLarge, Unavailable
from governance.ethics.use import UNSAID, Use
from governance.ids import uuid7
from governance.oversight.duties import PERSON_CONFIRMS, fulfilled_by_confirming, withholds
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause
from governance.tenants.context import current_request_id
from governance.tenants.tasks import enqueue
from inference.rollouts.models import Endpoint
from inference.rollouts.selectors import Arm, endpoint_snapshot
from inference.serving.batch import files
from inference.serving.batch.cataloguing import assets_of, enter_job, purpose_of
from inference.serving.batch.events import publish
from inference.serving.batch.fetching import borrow
from inference.serving.batch.selectors import stopping
from inference.serving.batch.states import JOB_STATES
from inference.serving.models import BatchJob, BatchShard
from inference.serving.split import choose

QUEUE = "batch"
FORMATS = {
    ".jsonl": BatchJob.Format.JSONL,
    ".ndjson": BatchJob.Format.JSONL,
    ".csv": BatchJob.Format.CSV,
    ".parquet": BatchJob.Format.PARQUET,
}


def create_batch_job(
    *,
    principal: Principal,
    endpoint_name: str,
    filename: str = "",
    chunks: Iterable[bytes] = (),
    dataset_id: UUID | None = None,
    version: str = "",
    idempotency_key: str = "",
    use: Use = UNSAID,
    label: str = "",
    subjects: Sequence[str] = (),
    region: str = "",
    result_format: str = BatchJob.ResultFormat.JSONL,
) -> BatchJob:
    """Keep the file (or name a dataset) and queue its prediction by one version: the named one, or the split's.

    `label`, `subjects` and `region` say what is in the file (internal, if nothing is said); they decide where the job
    may run, and PlacementRefused is raised when that is nowhere. A dataset's own limits hold, and these can only add to
    them. The file is written before any row is locked; a dataset, which the principal must have the right to read for
    the stated purpose, is copied by the worker that plans the job. With an `idempotency_key` the same request again
    returns the same job; another input under the same key raises Conflict.
    """
    if dataset_id is not None and filename:
        raise InvalidInput(_("Send a file or name a dataset, not both."))
    if result_format not in BatchJob.ResultFormat.values:
        raise InvalidInput(_("A result is JSON lines (jsonl) or Parquet (parquet)."))
    if len(idempotency_key) > 128:
        raise InvalidInput(_("An idempotency key has at most 128 characters."))
    if dataset_id is None:
        _format(filename)
    endpoint, arm, duties = _admitted(principal, endpoint_name, version, job_id := uuid7(), use)
    dataset: Dataset | None = None
    if dataset_id is not None:
        with transaction.atomic():
            dataset, filename = borrow(principal, dataset_id, use.purpose)
            _format(filename)
    job = BatchJob(
        id=job_id,
        tenant_id=endpoint.tenant_id,
        endpoint=endpoint,
        model_version_id=arm.version_id,
        dataset=dataset,
        filename=PurePosixPath(filename.replace("\\", "/")).name[:200],
        format=_format(filename),
        result_format=result_format,
        idempotency_key=idempotency_key,
        created_by_kind=principal.kind,
        created_by_id=principal.id,
        created_by_label=principal.label[:200],
        request_id=current_request_id()[:64],
        duties=list(duties),
        scopes=None if principal.scopes is None else sorted(principal.scopes),
        application_id=principal.application_id,
        amount=use.amount,
    )
    try:
        if dataset is None:
            written = files.new_input(endpoint.tenant_id, job_id, job.format).write(_limited(chunks))
            if not written.size_bytes:
                raise InvalidInput(_("The file is empty."))
            job.input_sha256, job.input_bytes = written.sha256, written.size_bytes
        else:
            job.input_sha256, job.input_bytes = dataset.digest, dataset.size_bytes or 0
        made = _insert_or_find(
            job,
            principal,
            lambda: enter_job(job, label=label, subjects=subjects, region=region, purpose=use.purpose),
        )
    except BaseException:
        with suppress(Unavailable):
            files.remove_job(endpoint.tenant_id, job_id)
        raise
    if made.id != job_id:
        files.remove_job(endpoint.tenant_id, job_id)
    return made


def cancel_batch_job(*, principal: Principal, job_id: UUID, reason: str = "") -> BatchJob:
    """Stop a job; its workers notice at their next step and what they have computed is dropped."""
    with transaction.atomic():
        job = BatchJob.objects.select_for_update(of=("self",)).filter(pk=job_id).first()
        if job is None:
            raise NotFound(_("There is no such batch job."))
        require(principal, stopping(principal, job), job)
        end_job(job, BatchJob.State.CANCELLED)
        record(
            principal=principal,
            action="serving.batch.cancel",
            target=ObjectRef.of(job, digest=job.input_sha256),
            tenant_id=job.tenant_id,
            reason=reason,
        )
        transaction.on_commit(lambda: files.tidy(job))
    return job


def end_job(job: BatchJob, state: str, *, error: str = "") -> None:
    """Take a locked job to one of its ends, and its open shards with it."""
    JOB_STATES.check(job.state, state)
    job.state = state
    job.error = error[:2000]
    job.finished_at = timezone.now()
    job.save(update_fields=["state", "error", "finished_at"])
    if state != BatchJob.State.SUCCEEDED:
        job.shards.filter(state__in=[BatchShard.State.WAITING, BatchShard.State.RUNNING]).update(
            state=BatchShard.State.CANCELLED, lease_until=None, lease_token=None
        )
    publish(job)


def cause_of(job: BatchJob) -> Cause:
    """Who has the job done, and by which right, from its row: whoever sends its work again, this is asked."""
    return Cause(
        kind=job.created_by_kind,  # type: ignore[arg-type]
        id=job.created_by_id,
        tenant_id=job.tenant_id,
        label=job.created_by_label,
        action="serving.batch.create",
        target_type="rollouts.endpoint",
        target_id=str(job.endpoint_id),
        duties=tuple(job.duties),
        scopes=None if job.scopes is None else tuple(job.scopes),
        application_id=job.application_id,
        context=tuple(sorted(Use(purpose_of(job), job.amount).context().items())),
    )


def send(name: str, job: BatchJob, **arguments: Any) -> None:
    """Queue a step of the job in a pool where its data may be. Raises PlacementRefused."""
    enqueue(
        name,
        queue=QUEUE,
        cause=cause_of(job),
        assets=assets_of(job),
        purpose=purpose_of(job),
        **arguments,
    )


def _format(filename: str) -> str:
    format = FORMATS.get(PurePosixPath(filename.lower()).suffix)
    if format is None:
        raise InvalidInput(_("Send a .jsonl, a .csv or a .parquet file."))
    return format


def _admitted(
    principal: Principal, name: str, version: str, job_id: UUID, use: Use
) -> tuple[Endpoint, Arm, tuple[str, ...]]:
    """The endpoint, which the principal may call, the arm that computes the whole job, and the job's duties."""
    with transaction.atomic():
        own = Endpoint.objects.filter(tenant_id=principal.tenant_id) if principal.tenant_id else None
        endpoint = own.filter(name=name).first() if own is not None else None
        if endpoint is None:
            raise NotFound(_("There is no endpoint “%(name)s”.") % {"name": name})
        decision = require(principal, "serving.batch.create", endpoint, context=use.context())
        if PERSON_CONFIRMS in decision.obligations:
            raise ObligationUnmet(
                _(
                    "Above this amount a person confirms every single answer, and a job has no single answers."
                ),
                decision=decision,
                hint=_(
                    "Send these rows one by one to the endpoint, which keeps each answer until it is confirmed."
                ),
            )
        if withholds(decision.obligations):
            raise ObligationUnmet(
                _("An unsure answer of this endpoint waits for a person, and a job has no single answers."),
                decision=decision,
                hint=_(
                    "Send these rows one by one to the endpoint, which keeps each answer until it is confirmed."
                ),
            )
        # The rows that a person must look at are marked in the result.
        require_obligations(decision, fulfilled=fulfilled_by_confirming(decision.obligations))
        snapshot = endpoint_snapshot(endpoint.tenant_id, name)
    arms = snapshot.arms if snapshot else ()
    if version:
        arm = next((arm for arm in arms if arm.version == version), None)
        if arm is None:
            raise NotFound(
                _("The endpoint “%(name)s” has no version %(version)s.") % {"name": name, "version": version}
            )
        return endpoint, arm, decision.obligations
    if not any(arm.weight for arm in arms):
        raise Conflict(_("The endpoint “%(name)s” sends traffic to no version at present.") % {"name": name})
    arm = arms[choose([arm.weight for arm in arms], key=str(job_id), salt=str(endpoint.id))]
    return endpoint, arm, decision.obligations


def _limited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > settings.BATCH_UPLOAD_MAX_BYTES:
            raise TooLarge(
                _("The file is larger than %(limit)d bytes.") % {"limit": settings.BATCH_UPLOAD_MAX_BYTES},
                hint=_("Split it and send the parts as jobs of their own."),
            )
        yield chunk


def _insert_or_find(job: BatchJob, principal: Principal, enter: Callable[[], None]) -> BatchJob:
    with transaction.atomic():
        try:
            with transaction.atomic():
                job.save(force_insert=True)
        except IntegrityError:
            known = BatchJob.objects.filter(
                tenant_id=job.tenant_id,
                created_by_id=job.created_by_id,
                idempotency_key=job.idempotency_key,
            ).first()
            if known is None:
                raise
            asked = ("input_sha256", "endpoint_id", "result_format")
            if any(getattr(known, name) != getattr(job, name) for name in asked):
                raise Conflict(
                    _("This idempotency key belongs to another request."),
                    code="idempotency-key-reused",
                    hint=_("Use a new key for a new request."),
                ) from None
            return known
        record(
            principal=principal,
            action="serving.batch.create",
            target=ObjectRef.of(job, digest=job.input_sha256),
            tenant_id=job.tenant_id,
            details={"endpoint": job.endpoint.name, "version_id": str(job.model_version_id)}
            | ({"dataset": str(job.dataset_id)} if job.dataset_id else {}),
        )
        enter()
        send("batch.plan", job, job_id=job.id)
    return job
