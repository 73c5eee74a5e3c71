"""Reading which base capabilities a tenant has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q

from governance.principals import Principal
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant
from inference.capabilities.catalogue import SOURCE_TYPE, Capability, capabilities
from inference.registry.models import ModelVersion
from inference.registry.selectors import visible_versions
from inference.rollouts.models import Endpoint
from inference.rollouts.selectors import visible_endpoints


@dataclass(frozen=True, slots=True)
class Present:
    """A capability as a tenant has it: its version in the registry and its endpoint, where they are there."""

    capability: Capability
    version: ModelVersion | None
    endpoint: Endpoint | None

    @property
    def answers(self) -> bool:
        """Whether a call has a version to go to. What a policy or a stop button says is decided at the call."""
        return self.endpoint is not None and any(
            arm.model_version.state == ModelVersion.State.READY for arm in self.endpoint.arms.all()
        )


def present(principal: Principal) -> list[Present]:
    """Every base capability, and what of it the principal's tenant has. Three queries."""
    if principal.tenant_id is None or principal.platform:
        return [Present(capability, None, None) for capability in capabilities().values()]
    versions = {row.source_id: row for row in _versions(principal)}
    names = [capability.model_name for capability in capabilities().values()]
    endpoints = {row.name: row for row in visible_endpoints(principal).filter(name__in=names)}
    return [
        Present(capability, versions.get(name), endpoints.get(capability.model_name))
        for name, capability in capabilities().items()
    ]


def _versions(principal: Principal) -> Iterable[ModelVersion]:
    return visible_versions(principal).filter(source_type=SOURCE_TYPE).order_by("id")


def tenants_without(wanted: Iterable[Capability]) -> list[UUID]:
    """The organisations that lack one of these versions. Two queries over all tenants."""
    each, pairs = Q(), {(capability.name, capability.sha256) for capability in wanted}
    for name, sha256 in pairs:
        each |= Q(source_id=name, sha256=sha256)
    with platform_scope(), transaction.atomic():
        rows = (
            ModelVersion.objects.filter(each, source_type=SOURCE_TYPE)
            .order_by()
            .values("tenant_id")
            .annotate(present=Count("source_id", distinct=True))
        )
        whole = [row["tenant_id"] for row in rows if row["present"] == len(pairs)]
        organisations = Tenant.objects.filter(kind=Tenant.Kind.ORGANISATION, suspended_at=None)
        return list(organisations.exclude(pk__in=whole).values_list("id", flat=True))
