"""Reading the audit log: what a principal may see of it, narrowed by what is looked for, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from governance.audit.models import (
    AuditEntry,
    AuditHead,
    ChainCut,
    ChainVerification,
    LegalHold,
    RetentionPolicy,
    SignedHead,
)
from governance.errors import InvalidInput
from governance.principals import Principal
from governance.tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; what is empty narrows nothing. `until` is exclusive.

    `actor` is an id or a part of the name, `action` the beginning of one (`registry.`), `text` a part of the reason.
    """

    tenant: UUID | None = None
    actor: str = ""
    actor_id: str = ""
    action: str = ""
    target_type: str = ""
    target_id: str = ""
    decision: str = ""
    since: datetime | None = None
    until: datetime | None = None
    request_id: str = ""
    text: str = ""

    @classmethod
    def of(cls, values: dict[str, Any]) -> Search:
        """The search of cleaned form values; names that it does not know are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names and value})

    def as_details(self) -> dict[str, str]:
        """What was asked for, for the entry about an export."""
        return {name: str(value) for name, value in asdict(self).items() if value}


def own(principal: Principal, column: str = "tenant_id") -> Q:
    """The rows of the principal's tenant; for the platform, all. Row security says the same, but uses no index."""
    return Q() if principal.platform else Q(**{column: principal.tenant_id})


def entries_for(principal: Principal) -> QuerySet[AuditEntry]:
    """The entries a principal may see, newest first."""
    return AuditEntry.objects.filter(own(principal)).order_by("-at", "-sequence", "-id")


def narrowed(rows: QuerySet[AuditEntry], wanted: Search) -> QuerySet[AuditEntry]:
    """`rows` that match everything in `wanted`."""
    exact = {
        "tenant_id": wanted.tenant,
        "actor_id": wanted.actor_id,
        "target_type": wanted.target_type,
        "target_id": wanted.target_id,
        "decision": wanted.decision,
        "at__gte": wanted.since,
        "at__lt": wanted.until,
        "request_id": wanted.request_id,
        "action__startswith": wanted.action,
        "reason__icontains": wanted.text,
    }
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if wanted.actor:
        rows = rows.filter(_by_actor(wanted.actor))
    return rows


def search(principal: Principal, wanted: Search) -> QuerySet[AuditEntry]:
    """What a principal may see and looks for, newest first."""
    return narrowed(entries_for(principal), wanted)


def _by_actor(actor: str) -> Q:
    try:
        return Q(actor_id=str(UUID(actor)))
    except ValueError:
        return Q(actor_label__icontains=actor)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the mark after which the next page begins (empty: there is none)."""

    rows: list[AuditEntry]
    next: str


def page_of(rows: QuerySet[AuditEntry], *, after: str = "", size: int = 50) -> Page:
    """One page by key: as fast on page 1,000 as on page 1, and stable while entries arrive."""
    if after:
        at, sequence, id_ = _mark(after)
        rows = rows.filter(at__lte=at).filter(
            Q(at__lt=at) | Q(at=at, sequence__lt=sequence) | Q(at=at, sequence=sequence, id__lt=id_)
        )
    found = list(rows[: size + 1])
    more = found[size - 1] if len(found) > size else None
    return Page(found[:size], f"{more.at.isoformat()}~{more.sequence}~{more.id}" if more else "")


def batches(rows: QuerySet[AuditEntry], *, size: int = 500) -> Iterator[list[AuditEntry]]:
    """Every row, in pages: for who reads all of them with bounded memory."""
    after = ""
    while True:
        page = page_of(rows, after=after, size=size)
        if page.rows:
            yield page.rows
        if not page.next:
            return
        after = page.next


def _mark(text: str) -> tuple[datetime, int, UUID]:
    try:
        at, sequence, id_ = text.split("~")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not 0 <= int(sequence) < 2**63:
            raise ValueError
        return moment, int(sequence), UUID(id_)
    except ValueError as error:
        raise InvalidInput(
            _("This page does not exist."), hint=_("Start again from the first one.")
        ) from error


@dataclass(frozen=True, slots=True)
class Chain:
    """A tenant's chain as the console shows it."""

    tenant: Tenant
    length: int
    signed_through: int
    signed_at: datetime | None
    latest: ChainVerification | None

    @property
    def unsigned(self) -> int:
        """Entries after the last signed head."""
        return self.length - self.signed_through


def tenants_for(principal: Principal) -> QuerySet[Tenant]:
    """The tenants whose chains the principal may see."""
    return Tenant.objects.filter(own(principal, "id")).order_by("name")


def chains(principal: Principal) -> list[Chain]:
    """Every chain the principal may see, with its latest verification. Four queries, however many there are."""
    rows = list(tenants_for(principal))
    ids = [tenant.id for tenant in rows]
    lengths = dict(AuditHead.objects.filter(tenant_id__in=ids).values_list("tenant_id", "sequence"))
    signed = {
        row["tenant_id"]: (row["sequence"], row["at"])
        for row in SignedHead.objects.filter(tenant_id__in=ids)
        .order_by()
        .values("tenant_id")
        .annotate(sequence=Max("sequence"), at=Max("at"))
    }
    newest = (
        ChainVerification.objects.filter(tenant_id=OuterRef("tenant_id")).order_by("-id").values("id")[:1]
    )
    latest = {
        run.tenant_id: run for run in ChainVerification.objects.filter(tenant_id__in=ids, id=Subquery(newest))
    }
    return [
        Chain(
            tenant=tenant,
            length=lengths.get(tenant.id, 0),
            signed_through=signed.get(tenant.id, (0, None))[0],
            signed_at=signed.get(tenant.id, (0, None))[1],
            latest=latest.get(tenant.id),
        )
        for tenant in rows
    ]


def broken_chains() -> QuerySet[ChainVerification]:
    """The chains that row security shows and whose latest answer is red: what somebody must be told about.

    A verification that runs or could not finish takes no alarm away; only a green answer does.
    """
    answers = ChainVerification.objects.filter(
        tenant_id=OuterRef("tenant_id"),
        state__in=[ChainVerification.State.HOLDS, ChainVerification.State.BROKEN],
    )
    newest = answers.order_by("-id").values("id")[:1]
    rows = ChainVerification.objects.filter(state=ChainVerification.State.BROKEN, id=Subquery(newest))
    return rows.select_related("tenant").order_by("tenant__name")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long a tenant's entries are kept, and what holds them."""

    policies: QuerySet[RetentionPolicy]
    holds: QuerySet[LegalHold]
    cuts: QuerySet[ChainCut]


def keeping(principal: Principal) -> Keeping:
    """Retentions, holds and the latest cuts that the principal may see."""
    reach = own(principal)
    return Keeping(
        policies=RetentionPolicy.objects.filter(reach).select_related("tenant").order_by("tenant__name"),
        holds=LegalHold.objects.filter(reach).select_related("tenant", "set_by", "released_by"),
        cuts=ChainCut.objects.filter(reach).select_related("tenant").order_by("-id")[:20],
    )
