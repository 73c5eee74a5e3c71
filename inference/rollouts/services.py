"""Every change of endpoints: creating them, moving traffic, taking a move back, and who may call them."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.grants import give_grant, take_grant
from governance.access.selectors import usable_application
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from inference.registry.models import NAME_PATTERN, ModelVersion
from inference.rollouts.lifecycle import move, open_rollout
from inference.rollouts.models import Endpoint, EndpointArm, Feedback, InputCount, OutcomeRecord, Rollout
from inference.rollouts.policies import INVOKE_GRANT
from inference.rollouts.routing_rules import restore_rules
from inference.rollouts.splitting import (
    Kind,
    check_ready,
    last_change_in_force,
    locked,
    restorable,
    split_of,
    versions_for,
    write_split,
)


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
        check_ready([version])
        known = Endpoint.objects.filter(tenant_id=version.tenant_id, name=name).first()
        if known is not None:
            if known.model_id == version.model_id and split_of(known) == {version.version: 100}:
                return known
            raise _name_taken(name)
        try:
            with transaction.atomic():
                endpoint = Endpoint.objects.create(
                    tenant_id=version.tenant_id, name=name, model_id=version.model_id
                )
        except IntegrityError as error:
            raise _name_taken(name) from error
        write_split(endpoint, {version: 100}, principal=principal, kind=Kind.CREATE)
    return endpoint


def set_split(
    *, principal: Principal, endpoint_id: UUID, weights: dict[str, int], reason: str = ""
) -> Endpoint:
    """Move traffic: `weights` maps versions to whole percents that sum to 100.

    All versions must be ready, of the endpoint's model, and have one signature, so that no caller notices which one
    answers. A version with 0 percent stays reachable by its number; one that is left out does not.
    """
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        versions = versions_for(endpoint, weights)
        if {version.version: weight for version, weight in versions.items()} == split_of(endpoint):
            return endpoint
        if open_rollout(endpoint) is not None:
            raise Conflict(
                _("A rollout moves the traffic of the endpoint “%(name)s”.") % {"name": endpoint.name},
                hint=_("Promote it, roll it back or cancel it first."),
            )
        write_split(endpoint, versions, principal=principal, kind=Kind.SET, reason=reason)
    return endpoint


def roll_back(
    *, principal: Principal, endpoint_id: UUID, reason: str, expected_change_id: UUID | None = None
) -> Endpoint:
    """Restore the split (or the routing rules) from before the last change that has not been taken back.

    The changes of a rollout are taken back together, and one that is still open ends as rolled back. Called again, it
    takes back the change before that one; it never brings a taken-back split up again. With `expected_change_id` it
    takes back that change or raises Conflict: a second click then does nothing.
    """
    with transaction.atomic():
        endpoint = locked(endpoint_id)
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
        if change.of_rules:
            restore_rules(endpoint, change, principal=principal, reason=reason)
            return endpoint
        rollout = change.rollout
        before = change.before if rollout is None else rollout.before
        write_split(
            endpoint,
            versions_for(endpoint, restorable(endpoint, before)),
            principal=principal,
            kind=Kind.ROLL_BACK,
            reason=reason,
            undoes=change,
            rollout=rollout,
        )
        if rollout is not None and rollout.is_open:
            move(rollout, Rollout.State.ROLLED_BACK, principal=principal, reason=reason)
    return endpoint


def grant_invoke(*, principal: Principal, endpoint_id: UUID, application_id: UUID) -> None:
    """Let an OAuth 2.0 client call the endpoint. Doing it twice changes nothing."""
    _set_grant(principal=principal, endpoint_id=endpoint_id, application_id=application_id, give=True)


def revoke_invoke(*, principal: Principal, endpoint_id: UUID, application_id: UUID) -> None:
    """Take the right away again; every process refuses the client within a second."""
    _set_grant(principal=principal, endpoint_id=endpoint_id, application_id=application_id, give=False)


def drop_old_outcomes(*, batch_rows: int = 10_000) -> int:
    """Delete outcome records past `OUTCOME_RETENTION_DAYS`, feedback and counts as old, a batch per transaction.

    Returns how many rows went.
    """
    before = timezone.now() - timedelta(days=settings.OUTCOME_RETENTION_DAYS)
    total = 0
    for kind in (OutcomeRecord, Feedback, InputCount):
        deleted = batch_rows
        while deleted == batch_rows:
            with platform_scope(), transaction.atomic():
                old = kind._default_manager.filter(at__lt=before).order_by("at")
                ids = list(old.values_list("id", flat=True)[:batch_rows])
                deleted, _by_model = kind._default_manager.filter(id__in=ids).delete()
            total += deleted
    return total


def objection_to_retirement(version: ModelVersion) -> str:
    """Why a version cannot be retired yet: it still gets traffic, or a rollout may go back to it.

    Versions with 0 percent may go.
    """
    arm = EndpointArm.objects.select_related("endpoint").filter(model_version=version, weight__gt=0).first()
    if arm is not None:
        return _("The endpoint “%(name)s” still sends traffic to this version; move it away first.") % {
            "name": arm.endpoint.name
        }
    rollout = Rollout.objects.select_related("endpoint").filter(stable=version, ended_at=None).first()
    if rollout is not None:
        return _("A rollout of the endpoint “%(name)s” may go back to this version; end it first.") % {
            "name": rollout.endpoint.name
        }
    return ""


def _set_grant(*, principal: Principal, endpoint_id: UUID, application_id: UUID, give: bool) -> None:
    with transaction.atomic():
        endpoint = locked(endpoint_id)
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


def _name_taken(name: str) -> Conflict:
    return Conflict(
        _("There is already an endpoint “%(name)s”.") % {"name": name},
        hint=_("Move its traffic to the new version, or choose another name."),
    )
