"""How sure we are of who asks: an assurance level from signals with an age, judged again at every decision.

The levels follow NIST SP 800-63B: 1 is one factor, 2 two factors, 3 a factor that cannot be phished; 0 is nobody we
would trust with anything. A signal never raises what the factor proved, it only lowers it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from governance.principals import Device, Factor, Principal

LEVELS = {
    Factor.NONE: 0,
    Factor.PASSWORD: 1,
    Factor.SECRET: 1,
    Factor.FEDERATED: 1,
    Factor.OTP: 2,
    Factor.PASSKEY: 3,
}
# A second factor counts for a working day; then the session is worth what its first factor was.
SECOND_FACTOR_S = 8 * 3600
MAX_FAILED_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Assurance:
    """A level from 0 to 3 with what lowered it; `until` is when it falls by age alone, in seconds since the epoch."""

    level: int
    reasons: tuple[str, ...] = ()
    until: float = float("inf")


def assurance(principal: Principal, *, now: float | None = None) -> Assurance:
    """The present level. The system itself is not a person to be proven and has the highest."""
    if principal.kind == "system":
        return Assurance(3)
    signals = principal.signals
    at = time.time() if now is None else now
    level = LEVELS[signals.factor]
    if signals.factor is Factor.SECRET and signals.bound:
        level = 2
    reasons: list[str] = []
    until = float("inf")
    if level >= 2 and signals.factor in (Factor.OTP, Factor.PASSKEY):
        until = signals.factor_at + SECOND_FACTOR_S
        if at >= until:
            level, until = 1, float("inf")
            reasons.append("the second factor is more than eight hours old")
    for changed_at, reason in (
        (signals.network_changed_at, "the network has changed since the last factor"),
        (signals.client_changed_at, "the browser or program has changed since the last factor"),
    ):
        if changed_at > signals.factor_at:
            level -= 1
            reasons.append(reason)
    if signals.failed_attempts >= MAX_FAILED_ATTEMPTS:
        level -= 1
        reasons.append("there were failed attempts to sign in")
    if signals.unusual_rate:
        level -= 1
        reasons.append("the rate of requests is unusual")
    if signals.device is Device.NOT_COMPLIANT:
        level = 0
        reasons.append("the device does not comply with the company's rules")
    return Assurance(max(level, 0), tuple(reasons), until)
