"""How sure we are of who asks, as the session knows it."""

from __future__ import annotations

import time

from django.http import HttpRequest

from governance.principals import Factor, Signals

SESSION_FACTOR = "openclaw_factor"


def remember_factor(request: HttpRequest, factor: Factor) -> None:
    """Write into the session that the person has just proven who they are, with this factor."""
    request.session[SESSION_FACTOR] = {"factor": factor.value, "at": time.time(), "network": "", "client": ""}


def session_signals(request: HttpRequest) -> Signals:
    """The signals of a signed-in person's session."""
    known = request.session.get(SESSION_FACTOR) or {}
    return Signals(factor=Factor(known.get("factor", Factor.NONE)), factor_at=float(known.get("at", 0)))
