"""Reading endpoints: the snapshot that the hot route routes by, and the lists that people see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from governance.ethics.selectors import without_approval
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.registry.artifacts import SealedArtifact
from inference.registry.models import ModelVersion, TrainingReference
from inference.rollouts.analysis.profiles import Profile
from inference.rollouts.models import Endpoint, EndpointArm, Rollout


@dataclass(frozen=True, slots=True)
class ArmReference:
    """What a version's training data looked like. Two with one revision are the same."""

    revision: UUID
    profile: Profile = field(compare=False)


@dataclass(frozen=True, slots=True)
class Arm:
    """One version behind an endpoint. `weight` is in percent; 0 means: only when its version is named."""

    version_id: UUID
    version: str
    weight: int
    artifact_path: SealedArtifact
    sha256: str
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    format: str = "onnx"
    size_bytes: int = 0
    reference: ArmReference | None = None


@dataclass(frozen=True, slots=True)
class Cohort:
    """Callers that one version answers: by the cohort's name in a header, or listed."""

    name: str
    version: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that computes `percent` of the requests behind their answers."""

    version: str
    percent: int


@dataclass(frozen=True, slots=True)
class EndpointSnapshot:
    """An endpoint as it is now; its arms in a stable order, oldest version first. Rules may name arms that are away.

    `objective_s` is its latency objective; None: that of the installation.
    """

    id: UUID
    tenant_id: UUID
    name: str
    arms: tuple[Arm, ...]
    cohorts: tuple[Cohort, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    objective_s: float | None = None


def endpoint_snapshot(tenant_id: UUID, name: str) -> EndpointSnapshot | None:
    """The tenant's endpoint of that name with its versions that may answer; None when there is none.

    A version answers when it is ready and no ethics approval that it needs is missing. Two queries in a transaction of
    their own.
    """
    with tenant_context(tenant_id), transaction.atomic():
        rows = list(
            EndpointArm.objects.select_related("endpoint", "model_version__reference")
            .filter(endpoint__name=name, tenant_id=tenant_id)
            .order_by("model_version_id")
        )
        if not rows:
            return None
        ids = [row.model_version_id for row in rows]
        barred = without_approval("registry.modelversion", ids, tenant_id=tenant_id)
    endpoint = rows[0].endpoint
    arms = (
        _arm(row)
        for row in rows
        if row.model_version.state == ModelVersion.State.READY and str(row.model_version_id) not in barred
    )
    rules = endpoint.routing
    return EndpointSnapshot(
        id=endpoint.id,
        tenant_id=tenant_id,
        name=endpoint.name,
        arms=tuple(arms),
        cohorts=tuple(
            Cohort(rule["name"], rule["version"], tuple(rule["members"])) for rule in rules.get("cohorts", ())
        ),
        shadows=tuple(Shadow(rule["version"], rule["percent"]) for rule in rules.get("shadows", ())),
        objective_s=endpoint.latency_objective_ms / 1000 if endpoint.latency_objective_ms else None,
    )


def versions_behind(endpoint: ObjectRef) -> list[ObjectRef]:
    """The versions that an endpoint can send a request to. One query."""
    ids = EndpointArm.objects.filter(endpoint_id=endpoint.id).values_list("model_version_id", flat=True)
    return [ObjectRef("registry.modelversion", str(id_)) for id_ in ids]


def endpoint_names(tenant_id: UUID) -> tuple[str, ...]:
    """The names of the tenant's endpoints, sorted. Own transaction."""
    with tenant_context(tenant_id), transaction.atomic():
        return tuple(
            Endpoint.objects.filter(tenant_id=tenant_id).order_by("name").values_list("name", flat=True)
        )


def visible_endpoints(principal: Principal) -> QuerySet[Endpoint]:
    """The endpoints of the principal's tenant (every tenant's for the platform) with their arms."""
    arms = EndpointArm.objects.select_related("model_version").order_by("model_version_id")
    rows = Endpoint.objects.select_related("model", "tenant").prefetch_related(Prefetch("arms", arms))
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def candidates(endpoint: Endpoint) -> QuerySet[ModelVersion]:
    """The versions that can be brought in: ready ones without all the traffic, newest first."""
    whole = [arm.model_version_id for arm in endpoint.arms.all() if arm.weight == 100]
    ready = ModelVersion.objects.filter(model_id=endpoint.model_id, state=ModelVersion.State.READY)
    return ready.exclude(pk__in=whole).order_by("-id")


def visible_rollouts(principal: Principal) -> QuerySet[Rollout]:
    """The rollouts of the principal's tenant (every tenant's for the platform)."""
    rows = Rollout.objects.select_related("endpoint", "stable", "candidate")
    if principal.platform:
        return rows
    return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()


def _arm(row: EndpointArm) -> Arm:
    version = row.model_version
    return Arm(
        version_id=version.id,
        version=version.version,
        weight=row.weight,
        artifact_path=version.artifact,
        sha256=version.sha256,
        inputs=tuple(version.inputs),
        outputs=tuple(version.outputs),
        format=version.format,
        size_bytes=version.size_bytes,
        reference=reference_of(version),
    )


def reference_of(version: ModelVersion) -> ArmReference | None:
    """The training reference of a version that was read with its `reference`; None until one is made."""
    found: TrainingReference | None = getattr(version, "reference", None)
    if found is None or found.revision is None:
        return None
    return ArmReference(found.revision, Profile.from_json(found.profile))
