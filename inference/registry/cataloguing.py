"""Model versions in the data catalogue: their labels, and what they came of."""

from __future__ import annotations

from collections.abc import Iterable

from governance.data.labels import LABELS, declared
from governance.data.services import catalogue
from governance.refs import ObjectRef
from inference.registry.models import ModelVersion, TrainingReference

TYPE = "registry.modelversion"
REFERENCE = "registry.trainingreference"


def version_ref(version: ModelVersion) -> ObjectRef:
    """The version as the catalogue knows it."""
    return ObjectRef.of(version, digest=version.sha256)


def enter_version(version: ModelVersion, *, trained_on: Iterable[ObjectRef] = ()) -> None:
    """Enter a version with the label that its data labels declare, below its source and what it was trained on."""
    label, subjects = declared(version.labels)
    came_of = dict.fromkeys(trained_on, "trained_on")
    if version.source_id:
        # What was published says of itself that its bytes are no secret; the data that it works on labels the version.
        catalogue(version.source, tenant_id=version.tenant_id, label="public")
        came_of[version.source] = "derived_from"
    catalogue(
        version_ref(version), tenant_id=version.tenant_id, label=label, subjects=subjects, came_of=came_of
    )


def enter_evaluation(version: ModelVersion, evaluated_on: ObjectRef) -> None:
    """Write down on which data a version was evaluated."""
    label, subjects = declared(version.labels)
    catalogue(
        version_ref(version),
        tenant_id=version.tenant_id,
        label=label,
        subjects=subjects,
        came_of={evaluated_on: "evaluated_on"},
    )


def enter_reference(reference: TrainingReference, rows: ObjectRef) -> None:
    """Enter a training reference below the rows that it was counted from, with their limits."""
    catalogue(
        ObjectRef(REFERENCE, str(reference.model_version_id), digest=reference.source_digest),
        tenant_id=reference.tenant_id,
        label=LABELS[0],
        came_of={rows: "derived_from"},
    )
