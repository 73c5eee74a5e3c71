"""Bringing the base capabilities into tenants: versions in the registry and an endpoint each, like any other model."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import DomainError, InvalidInput
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.capabilities.catalogue import SOURCE_TYPE, Capability, capabilities
from inference.capabilities.selectors import tenants_without
from inference.registry.models import ModelVersion
from inference.registry.services import register_model_version
from inference.rollouts.selectors import endpoint_names
from inference.rollouts.services import create_endpoint

log = logging.getLogger(__name__)
# What the cards say they may see; a tenant that puts more into them has its own labels decide where that may run.
DATA_LABELS = ["internal", "personal"]


def add_capabilities(*, principal: Principal) -> list[ModelVersion]:
    """Register every base capability in the principal's tenant, with an endpoint of its name that sends all to it.

    Idempotent, and it takes nothing back: a version that was retired or held stays so, and a split stays as it is.
    Their purposes are not among those of high risk, so that no ethics approval is bound to them, by the rule that
    decides about a partner's plugin; a tenant that means one for such a purpose asks for an approval of it.
    """
    require(principal, "capabilities.capability.add")
    if principal.tenant_id is None or principal.platform:
        raise InvalidInput(_("A capability is added to an organisation; choose one."))
    return _add(principal.tenant_id, capabilities().values())


def add_where_missing() -> int:
    """Bring them into every organisation that lacks one of them; returns into how many. Two queries when none does.

    Each organisation by itself: what hinders one hinders no other, and is tried again the next time.
    """
    added = 0
    for tenant_id in tenants_without(capabilities().values()):
        try:
            _add(tenant_id, capabilities().values())
        except DomainError as error:
            log.warning("the base capabilities cannot be added to %s: %s", tenant_id, error)
        else:
            added += 1
    return added


def _add(tenant_id: UUID, wanted: Iterable[Capability]) -> list[ModelVersion]:
    system = replace(SYSTEM, tenant_id=tenant_id, platform=False)
    with tenant_context(tenant_id):
        return [_add_one(system, tenant_id, capability) for capability in wanted]


def _add_one(system: Principal, tenant_id: UUID, capability: Capability) -> ModelVersion:
    # Sealing a file must hold no locks, so that each one is whole by itself; a start that breaks off goes on here.
    version = register_model_version(
        principal=system,
        model_name=capability.model_name,
        version=capability.version,
        artifact=capability.artifact,
        format=capability.format,
        inputs=capability.inputs,
        outputs=capability.outputs,
        card=capability.card,
        source=ObjectRef(SOURCE_TYPE, capability.name, capability.sha256, str(capability.name)),
        labels=DATA_LABELS,
        metrics=dict(capability.figures),
        expected_sha256=capability.sha256,
    )
    with transaction.atomic():
        if version.state == ModelVersion.State.READY and capability.model_name not in endpoint_names(
            tenant_id
        ):
            create_endpoint(principal=system, name=capability.model_name, model_version_id=version.id)
    return version
