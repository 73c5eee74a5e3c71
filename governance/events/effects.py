"""What an event does here, by its type (CAEP 1.0). An effect only ever takes trust away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils.translation import gettext as _
from oauth2_provider.models import get_access_token_model, get_refresh_token_model

from governance.access.broadcast import announce
from governance.access.devices import set_posture
from governance.access.models import TokenBinding
from governance.access.signals import SESSION_FACTOR
from governance.events.models import Transmitter
from governance.events.subjects import devices
from governance.events.tokens import SecurityEvent
from governance.identity.models import UserSession
from governance.identity.services.sessions import end_everywhere
from governance.identity.sessions import STORED
from governance.principals import SYSTEM, Device, Factor, Principal
from governance.tenants.models import User

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
POSTURES = {
    "compliant": Device.COMPLIANT,
    "not-compliant": Device.NOT_COMPLIANT,
}


def apply(
    event: SecurityEvent, transmitter: Transmitter, users: list[User], *, principal: Principal
) -> list[str]:
    """Do what the token's events ask for, in the caller's transaction; returns a sentence for each thing done."""
    done: list[str] = []
    for kind, payload in event.events.items():
        effect = EFFECTS.get(kind)
        if effect is not None:
            done += effect(event, payload, transmitter, users, principal)
    return done


Effect = Callable[[SecurityEvent, Mapping[str, Any], Transmitter, list[User], Principal], list[str]]


def _end_sessions(
    event: SecurityEvent,
    payload: Mapping[str, Any],
    transmitter: Transmitter,
    users: list[User],
    principal: Principal,
) -> list[str]:
    """session-revoked: every session, because any of them opens the tenant, and the tokens granted in the tenant."""
    done = []
    for user in users:
        reason = f"session-revoked by {transmitter.name}"
        sessions = end_everywhere(principal=principal, user_id=user.id, reason=reason)
        tokens = _delete_tokens(user.id, transmitter.tenant_id)
        done.append(
            _("%(user)s: %(sessions)d sessions and %(tokens)d tokens ended")
            % {"user": user.get_username(), "sessions": sessions, "tokens": tokens}
        )
    return done


def _prove_again(
    event: SecurityEvent,
    payload: Mapping[str, Any],
    transmitter: Transmitter,
    users: list[User],
    principal: Principal,
) -> list[str]:
    """Sessions and tokens stay, but are worth nothing until the identity has been proven again.

    A session opens every tenant of its person, so all of them count; a token opens one, so only the transmitter's own.
    """
    done = []
    for user in users:
        count = _forget_factor(user.id)
        own = TokenBinding.objects.filter(tenant_id=transmitter.tenant_id)
        bindings = own.filter(access_token__user=user) | own.filter(refresh_token__user=user)
        bindings.update(factor=Factor.NONE.value, factor_at=None)
        announce("user", str(user.id))
        done.append(
            _("%(user)s: %(sessions)d sessions must prove the identity again")
            % {"user": user.get_username(), "sessions": count}
        )
    return done


def _assurance_changed(
    event: SecurityEvent,
    payload: Mapping[str, Any],
    transmitter: Transmitter,
    users: list[User],
    principal: Principal,
) -> list[str]:
    """assurance-level-change: less than before must be proven again; more than before is proven to us, not told."""
    if payload.get("change_direction") == "increase":
        return []
    return _prove_again(event, payload, transmitter, users, principal)


def _set_postures(
    event: SecurityEvent,
    payload: Mapping[str, Any],
    transmitter: Transmitter,
    users: list[User],
    principal: Principal,
) -> list[str]:
    """device-compliance-change: what the company's device management says of a registered device."""
    posture = POSTURES.get(str(payload.get("current_status")))
    if posture is None:
        return []
    done = []
    told_at = datetime.fromtimestamp(_when(event, payload), tz=UTC)
    for device in devices(event.subject, transmitter.tenant_id, users):
        known = set_posture(
            principal=replace(SYSTEM, label=transmitter.name),
            device_id=device.pk,
            posture=posture,
            source=transmitter.name,
            at=told_at,
        )
        if known.posture_at != told_at:  # newer news had come before
            continue
        done.append(
            _("device %(device)s: %(posture)s")
            % {"device": device.name, "posture": known.get_posture_display()}
        )
    return done


EFFECTS: dict[str, Effect] = {
    f"{CAEP}session-revoked": _end_sessions,
    f"{CAEP}credential-change": _prove_again,
    f"{CAEP}token-claims-change": _prove_again,
    f"{CAEP}assurance-level-change": _assurance_changed,
    f"{CAEP}device-compliance-change": _set_postures,
}
ABOUT_DEVICES = f"{CAEP}device-compliance-change"


def _when(event: SecurityEvent, payload: Mapping[str, Any]) -> float:
    """When it happened: the event's own time where it is one, and never after it was told."""
    at = payload.get("event_timestamp")
    known = isinstance(at, int | float) and not isinstance(at, bool) and 0 < at < event.issued_at
    return float(at) if known else event.issued_at  # type: ignore[arg-type]


def _delete_tokens(user_id: UUID, tenant_id: UUID) -> int:
    get_refresh_token_model().objects.filter(user_id=user_id, application__tenant_id=tenant_id).delete()
    tokens = get_access_token_model().objects.filter(user_id=user_id, application__tenant_id=tenant_id)
    count = tokens.count()
    tokens.delete()
    return count


def _forget_factor(user_id: UUID) -> int:
    """Take the proven factor out of every open session; the caller announces it."""
    codec = import_module(settings.SESSION_ENGINE).SessionStore()
    keys = [
        digest[:STORED]
        for digest in UserSession.open.filter(user_id=user_id).values_list("key_digest", flat=True)
    ]
    count = 0
    for row in Session.objects.select_for_update().filter(session_key__in=keys):
        data = codec.decode(row.session_data)
        if data.pop(SESSION_FACTOR, None) is not None:
            row.session_data = codec.encode(data)
            row.save(update_fields=["session_data"])
        count += 1
    return count
