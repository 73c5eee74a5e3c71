"""Loading and unloading by hand (the protocol's model repository extension): who is asked whether somebody may."""

from __future__ import annotations

from typing import Protocol

from governance.principals import Principal
from inference.serving.errors import ProtocolError
from inference.serving.lookups import EndpointSnapshot


class Permit(Protocol):
    """Asks whether a principal may `load` or `unload` an endpoint's models, and records that they do."""

    async def __call__(self, principal: Principal, endpoint: EndpointSnapshot, action: str) -> None:
        """Raises ProtocolError (403)."""


async def forbid(principal: Principal, endpoint: EndpointSnapshot, action: str) -> None:
    """`Permit` of an application without a decision point: nobody may."""
    raise ProtocolError(403, f"models cannot be made to {action} here; they load at their first request")
