"""An endpoint's own latency objective: how long a request may wait for its turn, and so how large batches grow."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import InvalidInput
from governance.principals import Principal
from governance.refs import ObjectRef
from inference.rollouts.models import MAX_OBJECTIVE_MS, MIN_OBJECTIVE_MS, Endpoint
from inference.rollouts.splitting import locked


def set_objective(
    *, principal: Principal, endpoint_id: UUID, latency_objective_ms: int | None, reason: str = ""
) -> Endpoint:
    """Set the objective in milliseconds, or None for that of the installation. Setting it twice changes nothing.

    Every process follows within a second. A version behind several endpoints follows the strictest of theirs.
    Who may move the endpoint's traffic may. Raises InvalidInput out of bounds.
    """
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        if latency_objective_ms is not None and (
            type(latency_objective_ms) is not int
            or not MIN_OBJECTIVE_MS <= latency_objective_ms <= MAX_OBJECTIVE_MS
        ):
            message = _(
                "A latency objective is a whole number of milliseconds from %(least)d to %(most)d."
            ) % {
                "least": MIN_OBJECTIVE_MS,
                "most": MAX_OBJECTIVE_MS,
            }
            raise InvalidInput(message, errors=[{"pointer": "/latency_objective_ms", "detail": message}])
        before = endpoint.latency_objective_ms
        if latency_objective_ms == before:
            return endpoint
        endpoint.latency_objective_ms = latency_objective_ms
        endpoint.save(update_fields=["latency_objective_ms"])
        record(
            principal=principal,
            action="rollouts.endpoint.objective",
            target=ObjectRef.of(endpoint),
            tenant_id=endpoint.tenant_id,
            reason=reason,
            details={"before": before, "after": latency_objective_ms},
        )
        announce("endpoint", str(endpoint.id))
    return endpoint


def common_objective_ms() -> int:
    """The objective of the installation, for endpoints that have none of their own."""
    return int(settings.OPENCLAW_SERVING["latency_objective_ms"])
