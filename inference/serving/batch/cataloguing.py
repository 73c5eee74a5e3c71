"""Batch jobs in the data catalogue: the input's label is stated, the result's is at least input's and model's."""

from __future__ import annotations

from collections.abc import Iterable

from governance.data.erasers import Outcome
from governance.data.erasing import mark
from governance.data.labels import DEFAULT, LABELS
from governance.data.selectors import asset_of, facts
from governance.data.services import catalogue
from governance.refs import ObjectRef
from inference.registry.cataloguing import enter_version, version_ref
from inference.serving.models import BatchJob

INPUT = "serving.batchinput"
RESULT = "serving.batchjob"


def input_ref(job: BatchJob) -> ObjectRef:
    """The file that was uploaded, or the copy of a dataset."""
    return ObjectRef(INPUT, str(job.id), digest=job.input_sha256, label=job.filename)


def result_ref(job: BatchJob) -> ObjectRef:
    """The job itself, which stands for its result."""
    return ObjectRef.of(job, digest=job.result_sha256)


def enter_job(job: BatchJob, *, label: str, subjects: Iterable[str], region: str, purpose: str) -> None:
    """Enter a new job's input as its uploader labels it, and its result below input and model version.

    The input is internal if nothing is said; one that is a dataset's comes of that, and is what that is. What is
    uploaded for a stated purpose is kept for that one alone. Raises LimitsClash where input and version must stay in
    different regions or serve different purposes.
    """
    version = version_ref(job.model_version)
    if asset_of(version, tenant_id=job.tenant_id) is None:
        enter_version(job.model_version)
    catalogue(
        input_ref(job),
        tenant_id=job.tenant_id,
        label=label or (LABELS[0] if job.dataset else DEFAULT),
        subjects=subjects,
        region=region,
        purpose=purpose,
        came_of={ObjectRef.of(job.dataset, digest=job.dataset.digest): "derived_from"}
        if job.dataset
        else None,
    )
    catalogue(
        result_ref(job),
        tenant_id=job.tenant_id,
        label=LABELS[0],
        region=region,
        came_of={input_ref(job): "derived_from", version: "predicted_by"},
    )


def assets_of(job: BatchJob) -> tuple[ObjectRef, ...]:
    """What the job's work is done on, wherever that is: the input, and the model that is loaded beside it."""
    return input_ref(job), ObjectRef("registry.modelversion", str(job.model_version_id))


def purpose_of(job: BatchJob) -> str:
    """What the job was said to be for: the purpose that its input is kept for."""
    return str(facts(input_ref(job), job.tenant_id).get("purpose", ""))


def mark_dropped(job: BatchJob) -> None:
    """The job's files are gone: the catalogue says so."""
    for target in (input_ref(job), result_ref(job)):
        mark(target, tenant_id=job.tenant_id, outcome=Outcome.ERASED)
