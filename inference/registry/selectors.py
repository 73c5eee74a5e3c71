"""Reading the model registry."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, Q, QuerySet

from governance.principals import Principal
from governance.refs import ObjectRef
from inference.registry.models import Model, ModelVersion


def visible_models(principal: Principal) -> QuerySet[Model]:
    """The models that the principal's tenant has (every tenant's for the platform), with their number of versions."""
    rows = Model.objects.annotate(version_count=Count("versions"))
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def visible_versions(principal: Principal) -> QuerySet[ModelVersion]:
    """The model versions that the principal's tenant has (every tenant's for the platform)."""
    rows = ModelVersion.objects.select_related("model")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def versions_from(source: ObjectRef, *, tenant_id: UUID) -> QuerySet[ModelVersion]:
    """The tenant's versions that were made from a source, for example from one plugin version."""
    return ModelVersion.objects.select_related("model").filter(
        Q(source_type=source.type, source_id=source.id), tenant_id=tenant_id
    )


def latest_ready(*, tenant_id: UUID, model_name: str) -> ModelVersion | None:
    """The newest version of a model that can be served."""
    return (
        ModelVersion.objects.select_related("model")
        .filter(tenant_id=tenant_id, model__name=model_name, state=ModelVersion.State.READY)
        .order_by("-id")
        .first()
    )
