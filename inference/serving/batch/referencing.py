"""A version's training reference from the rows of a batch job: its file or its dataset, already read, labelled, placed.

Whatever a batch job reads can be counted, under the same rights and limits; the rows are computed once more, by the
same steps, in one task. Of many rows about `MAX_ROWS` are taken, evenly over the file, so that neither time nor memory
grows with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.services import record_refusal
from governance.data.house_reads import keep_house_read
from governance.data.placement import PlacementRefused, on_refusal
from governance.errors import Conflict, NotFound, Unavailable
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.principals import Principal
from governance.tenants.checkpoints import checkpoint
from governance.tenants.context import platform_scope, tenant_context
from inference.registry import references
from inference.registry.cataloguing import enter_reference
from inference.registry.models import ModelVersion, TrainingReference
from inference.rollouts.analysis.profiles import Gathering, Unusable
from inference.serving.batch import files
from inference.serving.batch.cataloguing import input_ref
from inference.serving.batch.in_service import OutOfService, require_in_service
from inference.serving.batch.loading import Loaded, load
from inference.serving.batch.reading import RawRow, UnreadableFile, read_header, read_rows
from inference.serving.batch.selectors import job_for
from inference.serving.batch.services import cause_of, send
from inference.serving.batch.steps import Answers, Step, TextSource, answer
from inference.serving.classes import ClassReader
from inference.serving.datatypes import Tensors
from inference.serving.errors import Overloaded
from inference.serving.models import BatchJob
from inference.serving.runtime import LoadError

log = logging.getLogger(__name__)

TASK = "batch.build_reference"
MAX_ROWS = 20_000
STEP_ROWS = 64
MAX_ATTEMPTS = 3
# The fraction of the golden ratio, of 2^32: its multiples fill the range as evenly as any.
GOLDEN = 0x9E3779B9


def make_reference(*, principal: Principal, job_id: UUID) -> TrainingReference:
    """Have the rows of a finished job become the training reference of the version that computed them.

    It replaces the one before once it is made. Raises Conflict for a job that has not succeeded, a version that may not
    compute, and while another one is being made; AccessDenied without the right to the job's result or the version.
    """
    with transaction.atomic():
        job = job_for(principal, job_id)
        require(principal, "serving.batch.result", job)
        if job.state != BatchJob.State.SUCCEEDED:
            raise Conflict(
                _("The job is %(state)s; a reference is made from the rows of one that succeeded.")
                % {"state": job.get_state_display()}
            )
        if not files.input_path(job).exists():
            raise NotFound(_("The rows of the job are not kept any more."))
        reference = references.begin_reference(
            principal=principal, version_id=job.model_version_id, job_id=job.id, source=input_ref(job)
        )
        send(TASK, job, job_id=job.id)
    return reference


def build(job_id: UUID) -> None:
    """Count the rows. A message that came twice, or after its end, does nothing."""
    with transaction.atomic():
        job = BatchJob.objects.select_related("model_version__model").filter(pk=job_id).first()
    if job is None:
        return
    number = references.attempt(job.model_version_id, job_id)
    if not number:
        return
    if number > MAX_ATTEMPTS:
        _failed(job, f"It was given up after {MAX_ATTEMPTS} attempts: each ended its worker.")
        return
    try:
        profile, rows = _counted(job)
    except (Unavailable, Overloaded) as error:
        log.warning("the reference from batch job %s waits: %s", job_id, error)
        return  # sent again when nobody has been at it for a while
    except (Unusable, UnreadableFile, OutOfService, LoadError, Unsealable, KeyDestroyed) as error:
        _failed(job, str(error))
        return
    except FileNotFoundError:
        _failed(job, "The rows of the job are not kept any more.")
        return
    with transaction.atomic():
        made = references.finish_reference(
            version_id=job.model_version_id,
            job_id=job.id,
            profile=profile,
            row_count=rows,
            source=input_ref(job),
        )
        if made is not None:
            enter_reference(made, input_ref(job))


def resume_abandoned() -> int:
    """Send again what nobody is at: its worker died, or its message was lost. Returns how many."""
    before = timezone.now() - timedelta(seconds=2 * settings.BATCH_LEASE_S)
    with platform_scope(), transaction.atomic():
        waiting = references.abandoned(before)
        jobs = {job.id: job for job in BatchJob.objects.filter(pk__in=[job for _version, job in waiting])}
    for version_id, job_id in waiting:
        job = jobs.get(job_id)
        with platform_scope():
            if job is None:
                references.fail_reference(
                    version_id=version_id, job_id=job_id, error="The rows of the job are not kept any more."
                )
                continue
            references.touch(version_id, job_id)
        with tenant_context(job.tenant_id), transaction.atomic():
            try:
                send(TASK, job, job_id=job.id)
            except PlacementRefused as refusal:
                end_refused({"job_id": job.id}, refusal)
    return len(waiting)


def end_revoked(reason: str, *, job_id: UUID | str) -> None:
    """Whoever had it made may no longer."""
    with transaction.atomic():
        _end(job_id, reason)


def end_refused(arguments: Mapping[str, Any], refusal: PlacementRefused) -> None:
    """No pool may do it any more, because a label has risen since."""
    with transaction.atomic():
        record_refusal(refusal)
        _end(arguments["job_id"], str(refusal))


def register_reference_refusals() -> None:
    """Tell the placer how the task of this module ends."""
    on_refusal(TASK, end_refused)


def _end(job_id: UUID | str, reason: str) -> None:
    job = BatchJob.objects.filter(pk=job_id).first()
    if job is not None:
        _failed(job, reason)


def _failed(job: BatchJob, error: str) -> None:
    references.fail_reference(version_id=job.model_version_id, job_id=job.id, error=error)


def _counted(job: BatchJob) -> tuple[dict[str, Any], int]:
    """The profile of the job's rows and how many were counted. Raises Unusable with the first row that is wrong."""
    version = job.model_version
    if version.state != ModelVersion.State.READY:
        raise OutOfService(f"Version {version.version} was taken out of service ({version.state}).")
    loaded = load(version)
    reader = ClassReader.of(version.outputs)
    gathering = Gathering(version.inputs)
    cause, said_at = cause_of(job), time.monotonic()
    for step in _steps(job, -(-(job.row_count or 1) // MAX_ROWS)):
        answers = answer(step, loaded.runtime, loaded.signature, together=loaded.together)
        _add(gathering, step, answers, loaded, reader)
        checkpoint(cause)
        require_in_service(version)
        if time.monotonic() - said_at > settings.BATCH_RENEW_S:
            said_at = time.monotonic()
            if not references.touch(version.id, job.id):
                raise Unusable("Nobody waits for it any more.")
    return gathering.profile().to_json(), gathering.rows


def _add(gathering: Gathering, step: Step, answers: Answers, loaded: Loaded, reader: ClassReader) -> None:
    if answers.bad:
        number, line, why = next(
            (number, line, text)
            for number, line, text in zip(answers.rows, answers.lines, answers.single, strict=True)
            if isinstance(text, str)
        )
        raise Unusable(f"Row {number} (line {line}) is none that the version takes: {why}.")
    inputs = step.all_tensors(loaded.signature) if answers.together is not None else None
    if inputs is not None and answers.together is not None:
        gathering.add(inputs, [reader.read(_row(answers.together, at)) for at in range(len(step.rows))])
        return
    given = list(step.each(loaded.signature))
    for at, row in enumerate(given):
        if isinstance(row, str):
            raise Unusable(f"Row {step.rows[at]} (line {step.lines[at]}): {row}.")
        found = _row(answers.together, at) if answers.together is not None else answers.single[at]
        assert not isinstance(found, str), "a bad answer was told above"
        gathering.add(_one(row, loaded), [reader.read(found)])


def _row(outputs: Tensors, at: int) -> Tensors:
    return {name: tensor[at : at + 1] for name, tensor in outputs.items()}


def _one(row: Tensors, loaded: Loaded) -> Tensors:
    """A row of a version that takes no batches gets the first dimension that others have."""
    if loaded.signature.rows_are_variable:
        return row
    return {name: tensor.reshape(1, -1) for name, tensor in row.items()}


def _steps(job: BatchJob, every: int) -> Iterator[Step]:
    """The rows in small steps: of text one row of `every`, of Parquet one such block of rows."""
    keep_house_read(input_ref(job), tenant_id=job.tenant_id, use="make a training reference")
    if job.format == BatchJob.Format.PARQUET:
        from inference.serving.batch import columns  # Arrow is large, and only these jobs need it
        from inference.serving.batch.table_steps import TableSource

        with files.input_path(job).open() as reader:
            first = 1
            pieces = columns.segments(
                reader,
                rows=lambda _count, _bytes: STEP_ROWS,
                most_rows=settings.BATCH_MAX_ROWS,
                most_bytes=columns.MAX_GROWTH * settings.BATCH_UPLOAD_MAX_BYTES,
            )
            for number, (segment, count) in enumerate(pieces):
                if _drawn(number, every) and (table := TableSource(segment, first).take(count)) is not None:
                    yield table
                first += count
        return
    path = files.input_path(job)
    names = read_header(path) if job.format == BatchJob.Format.CSV else []
    source = TextSource(_every(read_rows(path, job.format), every), names)
    while (step := source.take(STEP_ROWS)) is not None:
        yield step


def _every(rows: Iterator[RawRow], every: int) -> Iterator[RawRow]:
    return (row for row in rows if _drawn(row.row, every))


def _drawn(number: int, every: int) -> bool:
    """Whether one of `every` is taken: evenly over the file, but at no period, for files often alternate."""
    return (number * GOLDEN & 0xFFFFFFFF) * every < 1 << 32
