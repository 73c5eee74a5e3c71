"""That a proof is not used twice: every proof seen is remembered in Valkey for as long as it could be believed.

Fails closed. Without Valkey nobody knows whether a proof was stolen, so bound tokens are not accepted meanwhile.
"""

from __future__ import annotations

import logging

import redis
from django.core.cache import cache

from governance.access.challenges import TokenRefused
from governance.access.dpop import SKEW_S, Proof
from governance.principals import Principal

log = logging.getLogger(__name__)

# A proof is believed for SKEW_S before and after its time.
REMEMBERED_S = 2 * SKEW_S + 10
PREFIX = "openclaw:dpop:"


def use_once(proof: Proof, principal: Principal | None = None) -> None:
    """Raise TokenRefused when the proof was used before, or (503) when nobody can tell. It is `principal`'s token."""
    try:
        first = cache.add(f"{PREFIX}{proof.replay_key}", 1, REMEMBERED_S)
    except (redis.RedisError, OSError) as error:
        log.error("whether a proof was used before cannot be told: %s", error)
        raise unknown() from None
    if not first:
        raise replayed(principal)


def replayed(principal: Principal | None) -> TokenRefused:
    """The refusal of a proof that was seen before."""
    return TokenRefused(
        "invalid_dpop_proof",
        "this proof was used before: sign a new one for every request",
        principal=principal,
    )


def unknown() -> TokenRefused:
    """The refusal while Valkey is away."""
    return TokenRefused(
        "temporarily_unavailable", "bound tokens cannot be checked at present; try again shortly", status=503
    )
