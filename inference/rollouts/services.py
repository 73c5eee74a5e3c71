"""Every change of endpoints: creating them, moving traffic, taking a move back, and who may call them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.access.grants import give_grant, take_grant
from governance.access.selectors import usable_application
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from inference.registry.models import NAME_PATTERN, ModelVersion
from inference.rollouts.cataloguing import enter_endpoint
from inference.rollouts.models import Endpoint, EndpointArm, OutcomeRecord, SplitChange
from inference.rollouts.policies import INVOKE_GRANT

MAX_ARMS = 10
Kind = SplitChange.Kind


def create_endpoint(*, principal: Principal, name: str, model_version_id: UUID) -> Endpoint:
    """A new endpoint that sends all traffic to one ready version.

    Idempotent while the endpoint still does exactly that; raises Conflict when the name is taken otherwise.
    """
    with transaction.atomic():
        version = ModelVersion.objects.select_related("model").filter(pk=model_version_id).first()
        if version is None:
            raise NotFound(_("There is no such model version."))
        require(principal, "rollouts.endpoint.create", version)
        if not re.fullmatch(NAME_PATTERN, name) or len(name) > 64:
            raise InvalidInput(
                _("“%(name)s” is no name for an endpoint.") % {"name": name},
                hint=_("Use up to 64 lower-case letters, digits and single hyphens."),
            )
        _check_ready([version])
        known = Endpoint.objects.filter(tenant_id=version.tenant_id, name=name).first()
        if known is not None:
            if known.model_id == version.model_id and _split_of(known) == {version.version: 100}:
                return known
            raise _name_taken(name)
        try:
            with transaction.atomic():
                endpoint = Endpoint.objects.create(
                    tenant_id=version.tenant_id, name=name, model_id=version.model_id
                )
        except IntegrityError as error:
            raise _name_taken(name) from error
        _write_split(endpoint, {version: 100}, principal=principal, kind=Kind.CREATE)
    return endpoint


def set_split(
    *, principal: Principal, endpoint_id: UUID, weights: dict[str, int], reason: str = ""
) -> Endpoint:
    """Move traffic: `weights` maps versions to whole percents that sum to 100.

    All versions must be ready, of the endpoint's model, and have one signature, so that no caller notices which one
    answers. A version with 0 percent stays reachable by its number; one that is left out does not.
    """
    with transaction.atomic():
        endpoint = _locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        versions = _versions(endpoint, weights)
        if {version.version: weight for version, weight in versions.items()} == _split_of(endpoint):
            return endpoint
        _write_split(endpoint, versions, principal=principal, kind=Kind.SET, reason=reason)
    return endpoint


def roll_back(
    *, principal: Principal, endpoint_id: UUID, reason: str, expected_change_id: UUID | None = None
) -> Endpoint:
    """Restore the split from before the last change that has not been taken back.

    Called again, it takes back the change before that one; it never brings a taken-back split up again. With
    `expected_change_id` it takes back that change or raises Conflict: a second click then does nothing.
    """
    with transaction.atomic():
        endpoint = _locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        change = last_change_in_force(endpoint)
        if change is None:
            raise Conflict(
                _("The endpoint “%(name)s” has no earlier split to return to.") % {"name": endpoint.name}
            )
        if expected_change_id is not None and change.id != expected_change_id:
            raise Conflict(
                _("That change is not the last one in force any more."),
                hint=_("Reload to see the present split and its history."),
            )
        versions = _versions(endpoint, change.before)
        _write_split(
            endpoint, versions, principal=principal, kind=Kind.ROLL_BACK, reason=reason, undoes=change
        )
    return endpoint


def grant_invoke(*, principal: Principal, endpoint_id: UUID, application_id: UUID) -> None:
    """Let an OAuth 2.0 client call the endpoint. Doing it twice changes nothing."""
    _set_grant(principal=principal, endpoint_id=endpoint_id, application_id=application_id, give=True)


def revoke_invoke(*, principal: Principal, endpoint_id: UUID, application_id: UUID) -> None:
    """Take the right away again; every process refuses the client within a second."""
    _set_grant(principal=principal, endpoint_id=endpoint_id, application_id=application_id, give=False)


def drop_old_outcomes(*, batch_rows: int = 10_000) -> int:
    """Delete outcome records past `OUTCOME_RETENTION_DAYS`, a batch per transaction; returns how many went."""
    before = timezone.now() - timedelta(days=settings.OUTCOME_RETENTION_DAYS)
    total = 0
    while True:
        with platform_scope(), transaction.atomic():
            oldest = OutcomeRecord.objects.filter(at__lt=before).order_by("at").values("id")[:batch_rows]
            deleted, _by_model = OutcomeRecord.objects.filter(id__in=oldest).delete()
        total += deleted
        if deleted < batch_rows:
            return total


def last_change_in_force(endpoint: Endpoint) -> SplitChange | None:
    """The change that `roll_back` would take back."""
    return endpoint.changes.filter(kind=Kind.SET, undone_by=None).order_by("-id").first()


def objection_to_retirement(version: ModelVersion) -> str:
    """Why a version cannot be retired yet: it still gets traffic. Versions with 0 percent may go."""
    arm = EndpointArm.objects.select_related("endpoint").filter(model_version=version, weight__gt=0).first()
    if arm is None:
        return ""
    return _("The endpoint “%(name)s” still sends traffic to this version; move it away first.") % {
        "name": arm.endpoint.name
    }


def _set_grant(*, principal: Principal, endpoint_id: UUID, application_id: UUID, give: bool) -> None:
    with transaction.atomic():
        endpoint = _locked(endpoint_id)
        require(principal, "access.grant.manage", endpoint)
        application = usable_application(application_id=application_id, tenant_id=endpoint.tenant_id)
        change = give_grant if give else take_grant
        change(user=application.service_user, permission=INVOKE_GRANT, target=endpoint)
        record(
            principal=principal,
            action="rollouts.endpoint.grant" if give else "rollouts.endpoint.revoke",
            target=ObjectRef.of(endpoint),
            tenant_id=endpoint.tenant_id,
            details={"application": str(application.id), "name": application.name},
        )


def _locked(endpoint_id: UUID) -> Endpoint:
    endpoint = Endpoint.objects.select_for_update(of=("self",)).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound(_("There is no such endpoint."))
    return endpoint


def _name_taken(name: str) -> Conflict:
    return Conflict(
        _("There is already an endpoint “%(name)s”.") % {"name": name},
        hint=_("Move its traffic to the new version, or choose another name."),
    )


def _split_of(endpoint: Endpoint) -> dict[str, int]:
    arms = endpoint.arms.select_related("model_version")
    return {arm.model_version.version: arm.weight for arm in arms}


def _versions(endpoint: Endpoint, weights: dict[str, int]) -> dict[ModelVersion, int]:
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
    _check_ready(found.values())
    first = found[next(iter(weights))]
    for version in found.values():
        if (version.inputs, version.outputs) != (first.inputs, first.outputs):
            raise InvalidInput(
                _("The versions %(one)s and %(two)s have different signatures.")
                % {"one": first.version, "two": version.version},
                hint=_("Serve a version with another signature under an endpoint of its own."),
            )
    return {found[version]: weight for version, weight in weights.items()}


def _check_ready(versions: Iterable[ModelVersion]) -> None:
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


def _write_split(
    endpoint: Endpoint,
    versions: dict[ModelVersion, int],
    *,
    principal: Principal,
    kind: str,
    reason: str = "",
    undoes: SplitChange | None = None,
) -> None:
    _ask_for_shares(principal, versions)
    before = _split_of(endpoint)
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
    SplitChange.objects.create(
        tenant_id=endpoint.tenant_id,
        endpoint=endpoint,
        kind=kind,
        before=before,
        after=after,
        undoes=undoes,
        actor_kind=principal.kind,
        actor_id=principal.id,
        actor_label=principal.label[:200],
        reason=reason,
    )
    action = {Kind.CREATE: "create", Kind.SET: "split", Kind.ROLL_BACK: "roll_back"}[Kind(kind)]
    record(
        principal=principal,
        action=f"rollouts.endpoint.{action}",
        target=ObjectRef.of(endpoint),
        tenant_id=endpoint.tenant_id,
        reason=reason,
        details={"before": before, "after": after},
    )
    announce("endpoint", str(endpoint.id))
