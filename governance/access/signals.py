"""How sure we are of who asks: what a session or a token can tell, as `governance.access.assurance` judges it.

A session remembers the last factor with its time, and from which network and program it was shown. A change of either
is noted once, with its time, and stands until the factor is shown again.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from governance.access.attempts import failures_since
from governance.access.network import client_digest, network_digest, request_address
from governance.access.rates import session_of, watch
from governance.principals import Device, Factor, Signals

SESSION_FACTOR = "openclaw_factor"
SESSION_DEVICE = "openclaw_device"  # thumbprint of the key of the device that the session was shown on

Session = MutableMapping[str, Any]


def remember_factor(request: HttpRequest, factor: Factor) -> None:
    """Write into the session that the person has just proven who they are, with this factor."""
    network, client = _place_of(request)
    request.session[SESSION_FACTOR] = {
        "factor": factor.value,
        "at": time.time(),
        "network": network,
        "client": client,
    }
    request.factor_remembered = True  # type: ignore[attr-defined]


def session_signals(request: HttpRequest) -> Signals:
    """The signals of a signed-in person's session; a change of network or program is written into the session."""
    network, client = _place_of(request)
    username = request.user.get_username() if request.user.is_authenticated else ""
    return _signals(request.session, network, client, username)


def token_signals(
    *,
    factor: Factor,
    factor_at: float,
    bound: bool,
    device: Device = Device.UNKNOWN,
    username: str = "",
    account: str = "",
) -> Signals:
    """The signals of an access token: the factor of the session (or secret) that granted it.

    Programs change networks as they please, so neither network nor program is watched here; `bound` says that the
    token works only with a key. `username` is empty for a program, whose secret nobody types.
    """
    flagged_at = watch.note(account) if account else 0.0
    return Signals(
        factor=factor,
        factor_at=factor_at,
        bound=bound,
        failed_attempts=failures_since(username, factor_at) if username else 0,
        unusual_rate=flagged_at > factor_at,
        device=device,
    )


@receiver(user_logged_in)
def _on_sign_in(sender: Any, request: HttpRequest | None = None, **_more: Any) -> None:
    """A sign-in of which nobody says more was by one factor."""
    if request is not None and not getattr(request, "factor_remembered", False):
        remember_factor(request, Factor.PASSWORD)


def _signals(session: Session, network: str, client: str, username: str) -> Signals:
    known = session.get(SESSION_FACTOR)
    if not isinstance(known, dict):
        return Signals()
    now = time.time()
    factor_at = float(known.get("at", 0))
    changes = {
        f"{name}_changed_at": now
        for name, present in (("network", network), ("client", client))
        if present and known.get(name) and known[name] != present and not known.get(f"{name}_changed_at")
    }
    if changes:
        known = session[SESSION_FACTOR] = known | changes
    return Signals(
        factor=Factor(known.get("factor", Factor.NONE)),
        factor_at=factor_at,
        network_changed_at=float(known.get("network_changed_at", 0)),
        client_changed_at=float(known.get("client_changed_at", 0)),
        failed_attempts=failures_since(username, factor_at),
        unusual_rate=watch.note(session_of(username)) > factor_at,
    )


def _place_of(request: HttpRequest) -> tuple[str, str]:
    """Digests of the network and the program; both empty where no connection stands behind the request."""
    address = request_address(request)
    if not address:
        return "", ""
    return network_digest(address), client_digest(request.headers.get("User-Agent", ""))
