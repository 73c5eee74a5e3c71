"""Reading the catalogue: what the decision point asks at every decision, and what people look for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from governance.access.hub_caches import HeardCache
from governance.data.labels import Limits, most_confidential, union
from governance.data.models import Asset, Dataset
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_scope, platform_scope

MAX_SEARCH = 200

Facts = Mapping[str, Any]

known: HeardCache[tuple[UUID, str, str], Facts] = HeardCache("asset")


def facts(target: ObjectRef, tenant_id: UUID | None) -> Facts:
    """Label, subjects, region, purpose and owner by the names of the policies' schema; none for what nobody registered.

    Answered from memory; a change of any asset is heard of by every process within a second.
    """
    if tenant_id is None or not target.id:
        return {}
    return known.get((tenant_id, target.type, target.id), lambda: _load(target, tenant_id))


def erased_among(tenant_id: UUID, type: str, ids: Iterable[str]) -> set[str]:
    """Of the ids of objects of one kind those that the catalogue says are erased."""
    rows = Asset.objects.filter(tenant_id=tenant_id, type=type, object_id__in=list(ids))
    return set(rows.filter(erased_at__isnull=False).values_list("object_id", flat=True))


def _load(target: ObjectRef, tenant_id: UUID) -> Facts:
    # The decision point asks for itself: the asker's own row scope must not make a label invisible.
    with _seeing(tenant_id), transaction.atomic():
        row = (
            Asset.objects.filter(tenant_id=tenant_id, type=target.type, object_id=target.id)
            .values_list("label", "subjects", "region", "purpose", "owner_id")
            .first()
        )
    if row is None:
        return {}
    label, subjects, region, purpose, owner = row
    return {
        "label": label,
        "subjects": subjects,
        "region": region,
        "purpose": purpose,
        "owner": str(owner) if owner else "",
    }


def _seeing(tenant_id: UUID) -> AbstractContextManager[None]:
    scope = current_scope()
    seen = connection.in_atomic_block and (scope.platform or scope.tenant_id == tenant_id)
    return nullcontext() if seen else platform_scope()


def together(assets: tuple[ObjectRef, ...], tenant_id: UUID | None) -> Limits:
    """The limits of work on all of these: the highest label, all subjects, the first region and purpose named.

    The label is empty when one of them is not in the catalogue: what is not known is never called harmless.
    """
    told = [facts(asset, tenant_id) for asset in assets]
    label = "" if not all(told) else most_confidential(fact["label"] for fact in told)
    region, purpose = (
        next((fact[name] for fact in told if fact.get(name)), "") for name in ("region", "purpose")
    )
    return Limits(label, tuple(union(*(fact.get("subjects", ()) for fact in told))), region, purpose)


def asset_of(target: ObjectRef, *, tenant_id: UUID) -> Asset | None:
    """The catalogue's entry of an object."""
    return Asset.objects.filter(tenant_id=tenant_id, type=target.type, object_id=target.id).first()


def visible_assets(principal: Principal) -> QuerySet[Asset]:
    """The assets of the principal's tenant (every tenant's for the platform)."""
    rows = Asset.objects.select_related("owner", "tenant")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def search(principal: Principal, *, text: str = "", label: str = "", type: str = "") -> QuerySet[Asset]:
    """Assets whose name, object id, digest or purpose contains the text."""
    rows = visible_assets(principal)
    if text:
        rows = rows.filter(
            Q(name__icontains=text)
            | Q(object_id__icontains=text)
            | Q(digest__startswith=text)
            | Q(purpose__icontains=text)
        )
    if label:
        rows = rows.filter(label=label)
    if type:
        rows = rows.filter(type=type)
    return rows


def visible_datasets(principal: Principal) -> QuerySet[Dataset]:
    """The datasets of the principal's tenant (every tenant's for the platform)."""
    rows = Dataset.objects.select_related("asset", "held_at", "tenant")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def lendable_datasets(principal: Principal) -> QuerySet[Dataset]:
    """The datasets of the principal's own tenant that work may be given: kept here, or in a bucket with a digest."""
    if principal.tenant_id is None:
        return Dataset.objects.none()
    rows = visible_datasets(principal).filter(tenant_id=principal.tenant_id, asset__erased_at__isnull=True)
    return rows.filter(
        Q(kind=Dataset.Kind.UPLOAD)
        | Q(kind=Dataset.Kind.REFERENCE, location__startswith="s3://") & ~Q(digest="")
    )
