"""The life of a version's training reference: asked for, made, failed, removed. What is in it is made above."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, NotFound
from governance.ids import uuid7
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from inference.registry.models import ModelVersion, TrainingReference
from inference.registry.states import REFERENCE_STATES

State = TrainingReference.State


def begin_reference(
    *, principal: Principal, version_id: UUID, job_id: UUID, source: ObjectRef
) -> TrainingReference:
    """Write down that a reference is to be made from a job's rows. The present one stays in force until then.

    Asked for again while it is being made from the same job, nothing changes; from another job it raises Conflict. A
    version that is held or retired raises Conflict, too: it computes nothing.
    """
    with transaction.atomic():
        version = (
            ModelVersion.objects.select_for_update(of=("self",), no_key=True)
            .select_related("model")
            .filter(pk=version_id)
            .first()
        )
        if version is None:
            raise NotFound(_("There is no such model version."))
        require(principal, "registry.version.reference", version)
        if version.state != ModelVersion.State.READY:
            raise Conflict(
                _("Version %(version)s is %(state)s, so no reference can be made of it.")
                % {"version": version.version, "state": version.get_state_display()}
            )
        reference = _of(version.id)
        if reference is None:
            reference = TrainingReference(tenant_id=version.tenant_id, model_version=version)
        elif reference.state == State.BUILDING:
            if reference.job_id == job_id:
                return reference
            raise Conflict(_("Another reference of this version is being made; wait for its end."))
        else:
            REFERENCE_STATES.check(reference.state, State.BUILDING)
        reference.state, reference.error, reference.attempts = State.BUILDING, "", 0
        reference.job_id, reference.sent_at = job_id, timezone.now()
        reference.save()
        record(
            principal=principal,
            action="registry.version.reference",
            target=ObjectRef.of(version, digest=version.sha256),
            tenant_id=version.tenant_id,
            details={"job": str(job_id), "rows": source.digest, "replaces": str(reference.revision or "")},
        )
    return reference


def finish_reference(
    *, version_id: UUID, job_id: UUID, profile: dict[str, Any], row_count: int, source: ObjectRef
) -> TrainingReference | None:
    """Put a profile in force; None where nobody waits for this one any more. Every web process hears of it."""
    with transaction.atomic():
        reference = _waiting(version_id, job_id)
        if reference is None:
            return None
        REFERENCE_STATES.check(reference.state, State.READY)
        reference.state, reference.error, reference.revision = State.READY, "", uuid7()
        reference.profile, reference.row_count, reference.made_at = profile, row_count, timezone.now()
        reference.source_digest, reference.source_label = source.digest, source.label[:200]
        reference.save()
        record(
            principal=SYSTEM,
            action="registry.version.reference_made",
            target=ObjectRef("registry.modelversion", str(version_id)),
            tenant_id=reference.tenant_id,
            details={"job": str(job_id), "rows": row_count, "revision": str(reference.revision)},
        )
        announce("endpoint", str(version_id))
    return reference


def fail_reference(*, version_id: UUID, job_id: UUID, error: str) -> None:
    """Say why no reference came of it. One that was in force before stays so."""
    with transaction.atomic():
        reference = _waiting(version_id, job_id)
        if reference is None:
            return
        REFERENCE_STATES.check(reference.state, State.FAILED)
        reference.state, reference.error = State.FAILED, error[:2000]
        reference.save(update_fields=["state", "error"])
        record(
            principal=SYSTEM,
            action="registry.version.reference_failed",
            target=ObjectRef("registry.modelversion", str(version_id)),
            tenant_id=reference.tenant_id,
            reason=error[:2000],
            details={"job": str(job_id)},
        )


def drop_reference(*, principal: Principal, version_id: UUID, reason: str) -> bool:
    """Remove a version's reference and what is being made of one; False where there is none."""
    with transaction.atomic():
        reference = _of(version_id)
        if reference is None:
            return False
        require(principal, "registry.version.reference", reference.model_version)
        record(
            principal=principal,
            action="registry.version.reference_dropped",
            target=ObjectRef("registry.modelversion", str(version_id)),
            tenant_id=reference.tenant_id,
            reason=reason,
        )
        reference.delete()
        announce("endpoint", str(version_id))
    return True


def attempt(version_id: UUID, job_id: UUID) -> int:
    """Count an attempt at making it, and say which it is; 0 where nobody waits for it."""
    with transaction.atomic():
        reference = _waiting(version_id, job_id)
        if reference is None:
            return 0
        reference.attempts += 1
        reference.sent_at = timezone.now()
        reference.save(update_fields=["attempts", "sent_at"])
    return reference.attempts


def touch(version_id: UUID, job_id: UUID) -> bool:
    """Say that somebody is at it; False where nobody waits for it any more."""
    with transaction.atomic():
        waiting = TrainingReference.objects.filter(
            model_version_id=version_id, job_id=job_id, state=State.BUILDING
        )
        return bool(waiting.update(sent_at=timezone.now()))


def abandoned(before: datetime) -> list[tuple[UUID, UUID]]:
    """Those that nobody has been at since `before`: versions and jobs, in the scope of the caller."""
    rows = TrainingReference.objects.filter(state=State.BUILDING, sent_at__lte=before)
    return list(rows.values_list("model_version_id", "job_id")[:100])


def _of(version_id: UUID) -> TrainingReference | None:
    rows = TrainingReference.objects.select_for_update(of=("self",)).select_related("model_version__model")
    return rows.filter(model_version_id=version_id).first()


def _waiting(version_id: UUID, job_id: UUID) -> TrainingReference | None:
    reference = _of(version_id)
    if reference is None or reference.state != State.BUILDING or reference.job_id != job_id:
        return None
    return reference
