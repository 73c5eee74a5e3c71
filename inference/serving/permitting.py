"""Who may load and unload models by hand, by the policy decision point."""

from __future__ import annotations

import asyncio

from django.db import close_old_connections, transaction

from governance.access.decisions import decide
from governance.access.services import record_refusal
from governance.audit.services import record
from governance.errors import AccessDenied
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.serving.errors import ProtocolError
from inference.serving.lookups import EndpointSnapshot

ACTIONS = {"load": "serving.model.load", "unload": "serving.model.unload"}


async def permit(principal: Principal, endpoint: EndpointSnapshot, action: str) -> None:
    """`permits.Permit` that decides and records. Not remembered: it is asked for rarely."""
    await asyncio.to_thread(_decide_and_record, principal, endpoint, action)


def _decide_and_record(principal: Principal, endpoint: EndpointSnapshot, action: str) -> None:
    close_old_connections()
    try:
        target = ObjectRef("rollouts.endpoint", str(endpoint.id), label=endpoint.name)
        name = ACTIONS[action]
        with tenant_context(endpoint.tenant_id), transaction.atomic():
            decision = decide(principal, name, target, tenant_id=endpoint.tenant_id, enforced=True)
            # Duties of a yes (a second person, a fresh sign-in) cannot be fulfilled on this route.
            allowed = decision.allow and not decision.obligations
            if allowed:
                record(
                    principal=principal,
                    action=name,
                    target=target,
                    tenant_id=endpoint.tenant_id,
                    details={"versions": [arm.version for arm in endpoint.arms]},
                )
        if not allowed:
            if not decision.allow:
                record_refusal(AccessDenied("", decision=decision))
            reasons = "; ".join(decision.reasons)
            raise ProtocolError(403, f'you may not {action} the models of "{endpoint.name}": {reasons}')
    finally:
        close_old_connections()
