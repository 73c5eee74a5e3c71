"""Tying objects of a tenant to the approval of what they were made from, and keeping the terms there up to date."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.data.services import link
from governance.ethics.models import Approval, Binding
from governance.ethics.selectors import approval_in_force, bound_objects
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope


@transaction.atomic
def bind(
    *, principal: Principal, subject: ObjectRef, objects: Iterable[ObjectRef], tenant_id: UUID
) -> list[Binding]:
    """From now on these objects of a tenant need an approval of `subject` (type, id and digest) in force.

    Called where something was made from a subject whose manifest demands an approval. Doing it again changes nothing.
    """
    require(principal, "ethics.binding.create", tenant_id=tenant_id)
    # The approval is the publisher's, so the tenant's own scope does not show it.
    with platform_scope():
        terms = _terms(approval_in_force(subject))
    made = []
    for target in objects:
        row, created = Binding.objects.update_or_create(
            tenant_id=tenant_id,
            object_type=target.type,
            object_id=target.id,
            defaults={
                "subject_type": subject.type,
                "subject_id": subject.id,
                "subject_digest": subject.digest,
                "object_label": target.label,
                **terms,
            },
        )
        made.append(row)
        if created:
            record(
                principal=principal,
                action="ethics.binding.create",
                target=target,
                tenant_id=tenant_id,
                details={"subject": f"{subject.type}:{subject.id}", "digest": subject.digest},
            )
    _tell(made)
    return made


def refresh(subject: ObjectRef) -> None:
    """Copy the terms now in force to everything bound to the subject, in every tenant. In the caller's transaction."""
    with platform_scope():
        rows = list(
            Binding.objects.select_for_update(of=("self",)).filter(
                subject_type=subject.type, subject_id=subject.id
            )
        )
        for row in rows:
            exact = ObjectRef(subject.type, subject.id, row.subject_digest)
            for name, value in _terms(approval_in_force(exact)).items():
                setattr(row, name, value)
        Binding.objects.bulk_update(rows, ["in_force", "valid_until", "conditions", "approval_id"])
    _tell(rows)


def _terms(approval: Approval | None) -> dict[str, object]:
    if approval is None:
        return {"in_force": False, "valid_until": None, "conditions": [], "approval_id": None}
    return {
        "in_force": True,
        "valid_until": approval.expires_at,
        "conditions": approval.conditions,
        "approval_id": approval.id,
    }


def _tell(rows: list[Binding]) -> None:
    """Answers and routes that were kept are doubtful in every process from this commit on; lineage names approvals."""
    bound_objects.forget()
    transaction.on_commit(bound_objects.forget)
    for row in rows:
        if row.approval_id is not None:
            with platform_scope():
                link(
                    principal=SYSTEM,
                    source=ObjectRef("ethics.approval", str(row.approval_id), label=_("Ethics approval")),
                    target=ObjectRef(row.object_type, row.object_id, label=row.object_label),
                    relation="approved_by",
                    tenant_id=row.tenant_id,
                )
        announce("policy", str(row.tenant_id))
        announce("endpoint", row.object_id)
