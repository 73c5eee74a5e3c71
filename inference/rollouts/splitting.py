"""How a split is changed, for every service that changes one: lock, look, ask for the shares, write, remember."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from inference.registry.models import ModelVersion
from inference.rollouts.cataloguing import enter_endpoint
from inference.rollouts.models import Endpoint, EndpointArm, Rollout, SplitChange

MAX_ARMS = 10
Kind = SplitChange.Kind


def locked(endpoint_id: UUID) -> Endpoint:
    """The endpoint, locked: whoever changes its traffic holds this lock. Raises NotFound."""
    endpoint = Endpoint.objects.select_for_update(of=("self",)).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound(_("There is no such endpoint."))
    return endpoint


def last_change_in_force(endpoint: Endpoint, *, rollout: Rollout | None = None) -> SplitChange | None:
    """The change that taking back takes back (of a `rollout` if given).

    Those of one rollout count together: none of them outlives another.
    """
    changes = endpoint.changes.filter(rollout=rollout) if rollout is not None else endpoint.changes
    return (
        changes.filter(kind__in=(Kind.SET, Kind.ROUTING), undone_by=None)
        .exclude(rollout__changes__undone_by__isnull=False)
        .select_related("rollout")
        .order_by("-id")
        .first()
    )


def split_of(endpoint: Endpoint) -> dict[str, int]:
    """The percents by version."""
    arms = endpoint.arms.select_related("model_version")
    return {arm.model_version.version: arm.weight for arm in arms}


def versions_for(endpoint: Endpoint, weights: dict[str, int]) -> dict[ModelVersion, int]:
    """The versions with their percents, after everything that could be wrong with them was looked at."""
    if not 1 <= len(weights) <= MAX_ARMS:
        raise InvalidInput(_("A split names 1 to %(most)d versions.") % {"most": MAX_ARMS})
    if not all(type(weight) is int and 0 <= weight <= 100 for weight in weights.values()):
        raise InvalidInput(_("Shares are whole percents from 0 to 100."))
    if sum(weights.values()) != 100:
        raise InvalidInput(
            _("The shares sum to %(sum)d percent; they must sum to 100.") % {"sum": sum(weights.values())}
        )
    # Locked, so that no version is retired while traffic moves to it.
    rows = ModelVersion.objects.select_for_update(of=("self",)).select_related("model")
    found = {
        v.version: v for v in rows.filter(model_id=endpoint.model_id, version__in=weights).order_by("id")
    }
    if missing := sorted(set(weights) - set(found)):
        raise InvalidInput(
            _("The endpoint's model has no version %(versions)s.") % {"versions": ", ".join(missing)}
        )
    check_ready(found.values())
    first = found[next(iter(weights))]
    for version in found.values():
        if (version.inputs, version.outputs) != (first.inputs, first.outputs):
            raise InvalidInput(
                _("The versions %(one)s and %(two)s have different signatures.")
                % {"one": first.version, "two": version.version},
                hint=_("Serve a version with another signature under an endpoint of its own."),
            )
    return {found[version]: weight for version, weight in weights.items()}


def restorable(endpoint: Endpoint, weights: dict[str, int]) -> dict[str, int]:
    """An earlier split without the versions that had no traffic in it and may not get any now: they bar no way back."""
    idle = [version for version, weight in weights.items() if not weight]
    ready = set(
        ModelVersion.objects.filter(
            model_id=endpoint.model_id, version__in=idle, state=ModelVersion.State.READY
        ).values_list("version", flat=True)
    )
    return {version: weight for version, weight in weights.items() if weight or version in ready}


def check_ready(versions: Iterable[ModelVersion]) -> None:
    """Raise Conflict unless all of them may get traffic."""
    for version in versions:
        if version.state != ModelVersion.State.READY:
            raise Conflict(
                _("Version %(version)s is %(state)s; only a ready version can get traffic.")
                % {"version": version.version, "state": version.get_state_display()}
            )


def _ask_for_shares(principal: Principal, versions: dict[ModelVersion, int]) -> None:
    """Each version that gets traffic must be allowed its share: an ethics approval may have ended, or cap it."""
    for version, weight in versions.items():
        if weight:
            target = ObjectRef.of(version, digest=version.sha256)
            require(
                principal,
                "rollouts.endpoint.split",
                target,
                tenant_id=version.tenant_id,
                context={"traffic_share": weight},
            )


def write_split(
    endpoint: Endpoint,
    versions: dict[ModelVersion, int],
    *,
    principal: Principal,
    kind: str,
    reason: str = "",
    undoes: SplitChange | None = None,
    rollout: Rollout | None = None,
) -> SplitChange:
    """Give the endpoint this split. Raises AccessDenied where a version may not have its share (ethics)."""
    _ask_for_shares(principal, versions)
    before = split_of(endpoint)
    after = {version.version: weight for version, weight in versions.items()}
    endpoint.arms.exclude(model_version__in=versions).delete()
    EndpointArm.objects.bulk_create(
        [
            EndpointArm(tenant_id=endpoint.tenant_id, endpoint=endpoint, model_version=version, weight=weight)
            for version, weight in versions.items()
        ],
        update_conflicts=True,
        unique_fields=["endpoint", "model_version"],
        update_fields=["weight"],
    )
    enter_endpoint(endpoint, versions)
    endpoint.split_changed_at = timezone.now()
    endpoint.save(update_fields=["split_changed_at"])
    action = {Kind.CREATE: "create", Kind.SET: "split", Kind.ROLL_BACK: "roll_back"}[Kind(kind)]
    return write_change(
        endpoint,
        before,
        after,
        principal=principal,
        kind=kind,
        action=f"rollouts.endpoint.{action}",
        reason=reason,
        undoes=undoes,
        rollout=rollout,
    )


def write_change(
    endpoint: Endpoint,
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    principal: Principal,
    kind: str,
    action: str,
    reason: str = "",
    undoes: SplitChange | None = None,
    rollout: Rollout | None = None,
) -> SplitChange:
    """Keep a change in the history and the audit log, and tell every process."""
    change = SplitChange.objects.create(
        tenant_id=endpoint.tenant_id,
        endpoint=endpoint,
        kind=kind,
        before=before,
        after=after,
        undoes=undoes,
        rollout=rollout,
        actor_kind=principal.kind,
        actor_id=principal.id,
        actor_label=principal.label[:200],
        reason=reason,
    )
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(endpoint),
        tenant_id=endpoint.tenant_id,
        reason=reason,
        details={"before": before, "after": after}
        | ({"rollout": str(rollout.id)} if rollout is not None else {}),
    )
    announce("endpoint", str(endpoint.id))
    return change
