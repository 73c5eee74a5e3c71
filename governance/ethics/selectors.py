"""Reading approvals, their evidence, what is bound to them, and incidents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone

from governance.access.hub_caches import HeardCache
from governance.ethics.evidence import REQUIRED
from governance.ethics.models import Approval, Binding, Evidence, Incident
from governance.principals import Principal
from governance.refs import ObjectRef

State = Approval.State
# What in a tenant needs an approval, by type and id; every process forgets it when a binding changes anywhere.
bound_objects: HeardCache[UUID, Mapping[tuple[str, str], Binding]] = HeardCache("policy", max_entries=1_000)
SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """One line of the checklist: what is needed or given. `given` is the newest document of the kind."""

    kind: str
    label: str
    required: bool
    given: Evidence | None


def in_force() -> Q:
    """The condition of an approval that holds now."""
    return Q(state=State.APPROVED) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


def about(subject: ObjectRef) -> QuerySet[Approval]:
    """Approvals of exactly this digest of the subject, the newest first."""
    return Approval.objects.filter(
        subject_type=subject.type, subject_id=subject.id, subject_digest=subject.digest
    ).order_by("-id")


def is_approved(subject: ObjectRef) -> bool:
    """Whether exactly this digest of the subject has an approval in force."""
    return about(subject).filter(in_force()).exists()


def approval_in_force(subject: ObjectRef) -> Approval | None:
    """The approval of exactly this digest that holds now."""
    return about(subject).filter(in_force()).first()


def latest_for(subject: ObjectRef) -> Approval | None:
    """The newest approval of exactly this digest, whatever its state."""
    return about(subject).first()


def with_evidence(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """The same rows with everything that a list shows, in three queries."""
    return rows.select_related("requested_by", "decided_by").prefetch_related(
        Prefetch("evidence", Evidence.objects.defer("document").order_by("-id"))
    )


def queue() -> QuerySet[Approval]:
    """What waits for an ethics officer, the oldest first."""
    return with_evidence(Approval.objects.filter(state=State.REQUESTED).order_by("requested_at"))


def expiring(*, within: timedelta = SOON) -> QuerySet[Approval]:
    """Approvals that end soon and for which nobody has asked anew, the first to end first."""
    pending = Approval.objects.filter(state=State.REQUESTED, renews__isnull=False).values("renews_id")
    return (
        Approval.objects.filter(state=State.APPROVED, expires_at__lte=timezone.now() + within)
        .exclude(pk__in=pending)
        .order_by("expires_at")
    )


def checklist(approval: Approval) -> list[EvidenceItem]:
    """Every kind of evidence: whether the class needs it, and the newest document. Uses prefetched evidence."""
    needed = REQUIRED[approval.risk_class]
    newest: dict[str, Evidence] = {}
    for row in sorted(approval.evidence.all(), key=lambda row: row.id):
        newest[row.kind] = row
    return [
        EvidenceItem(str(kind.value), str(kind.label), kind in needed, newest.get(kind.value))
        for kind in Evidence.Kind
    ]


def missing(approval: Approval) -> list[EvidenceItem]:
    """What the class of risk needs and nobody has supplied."""
    return [item for item in checklist(approval) if item.required and item.given is None]


def bindings_of(refs: Iterable[ObjectRef], *, tenant_id: UUID) -> list[Binding]:
    """The bindings of these objects of one tenant, in one query. Row scope must reach the tenant."""
    wanted = Q()
    for ref in refs:
        wanted |= Q(object_type=ref.type, object_id=ref.id)
    return list(Binding.objects.filter(wanted, tenant_id=tenant_id)) if wanted else []


def holds_now(binding: Binding) -> bool:
    """Whether the approval that an object needs is in force at this moment."""
    return binding.in_force and (binding.valid_until is None or binding.valid_until > timezone.now())


def without_approval(object_type: str, ids: Iterable[UUID], *, tenant_id: UUID) -> set[str]:
    """Which of these objects need an approval that is not in force: they take no traffic. One query."""
    rows = Binding.objects.filter(
        tenant_id=tenant_id, object_type=object_type, object_id__in=[str(id_) for id_ in ids]
    )
    return {row.object_id for row in rows if not holds_now(row)}


def visible_bindings(principal: Principal) -> QuerySet[Binding]:
    """The bound objects of the principal's tenant (every tenant's for the platform)."""
    rows = Binding.objects.select_related("tenant").order_by("object_label", "id")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def visible_incidents(principal: Principal) -> QuerySet[Incident]:
    """The incidents of the principal's tenant (every tenant's for the platform), the newest first."""
    rows = Incident.objects.select_related("tenant", "opened_by")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def overdue_incidents(rows: QuerySet[Incident]) -> QuerySet[Incident]:
    """Serious incidents whose report to the authority is late."""
    return rows.filter(report_due_at__lt=timezone.now(), reported_at=None).exclude(
        state=Incident.State.CLOSED
    )
