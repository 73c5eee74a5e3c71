"""Naming transmitters of security events, and taking what they deliver (RFC 8935, push)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.events import effects, keys, subjects, tokens
from governance.events.models import ReceivedEvent, Transmitter
from governance.events.tokens import SecurityEvent, SetRefused
from governance.identity.fetch import check_address
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

State = ReceivedEvent.State


@transaction.atomic
def add_transmitter(
    *,
    principal: Principal,
    name: str,
    issuer: str,
    audience: str = "",
    jwks_url: str = "",
    jwks: Any = None,
    internal_network: bool = False,
    tenant_id: UUID | None = None,
) -> Transmitter:
    """Believe events of this issuer about the tenant's people. Its keys are given, or the address that has them.

    Without an audience, events must name this site's public address.
    """
    tenant = tenant_id or principal.tenant_id
    require(principal, "events.transmitter.manage", tenant_id=tenant)
    if tenant is None:
        raise InvalidInput(_("Say which tenant the transmitter belongs to."))
    if internal_network:
        require(principal, "events.transmitter.trust-internal", tenant_id=tenant)
    if not name.strip() or not issuer.strip():
        raise InvalidInput(_("Give the transmitter a name and its issuer."))
    if (jwks is None) == (not jwks_url):
        raise InvalidInput(_("Give either the transmitter's keys or the address that has them."))
    if jwks_url:
        check_address(jwks_url)
    else:
        jwks = keys.as_json(keys.checked_keys(jwks))
    try:
        with transaction.atomic():
            made = Transmitter.objects.create(
                tenant_id=tenant,
                name=name.strip(),
                issuer=issuer.strip(),
                audience=audience.strip() or settings.PUBLIC_URL,
                jwks_url=jwks_url,
                jwks=jwks,
                internal_network=internal_network,
            )
    except IntegrityError as error:
        raise Conflict(_("There is already a transmitter with this issuer and audience.")) from error
    record(
        principal=principal,
        action="events.transmitter.add",
        target=ObjectRef.of(made),
        tenant_id=tenant,
        details={"issuer": made.issuer, "audience": made.audience, "jwks_url": jwks_url},
    )
    return made


@transaction.atomic
def set_transmitter_enabled(
    *, principal: Principal, transmitter_id: UUID, enabled: bool, reason: str = ""
) -> Transmitter:
    """Stop believing a transmitter, or believe it again. What it has told stays."""
    found = Transmitter.objects.select_for_update(of=("self",)).filter(pk=transmitter_id).first()
    if found is None:
        raise NotFound(_("There is no such transmitter."))
    require(principal, "events.transmitter.manage", found)
    found.enabled = enabled
    found.save(update_fields=["enabled"])
    record(
        principal=principal,
        action="events.transmitter.enable" if enabled else "events.transmitter.disable",
        target=ObjectRef.of(found),
        tenant_id=found.tenant_id,
        reason=reason,
    )
    return found


def receive(*, principal: Principal, transmitter_id: UUID, token: str) -> ReceivedEvent:
    """Take one security event token. The same token again changes nothing and is no error (RFC 8935 §2.2).

    Raises SetRefused, after the refusal was written into the tenant's audit log; NotFound for an unknown transmitter.
    """
    require(principal, "events.event.deliver")
    with platform_scope(), transaction.atomic():
        rows = Transmitter.objects.select_related("tenant")
        transmitter = rows.filter(pk=transmitter_id, enabled=True, tenant__suspended_at=None).first()
    if transmitter is None:
        raise NotFound(_("There is no such transmitter."))
    try:
        event = _believed(transmitter, token)
        return _take(transmitter, event, sha256(token.encode()).hexdigest())
    except SetRefused as refused:
        with platform_scope(), transaction.atomic():
            record(
                principal=_speaker(transmitter),
                action="events.event.receive",
                target=ObjectRef.of(transmitter),
                tenant_id=transmitter.tenant_id,
                decision="deny",
                reason=f"{refused.err}: {refused.description}",
            )
        raise


def _believed(transmitter: Transmitter, token: str) -> SecurityEvent:
    jws, header = tokens.parse(token)
    claims = tokens.verified(jws, header, keys.keys_for(transmitter, header))
    return tokens.checked(claims, issuer=transmitter.issuer, audience=transmitter.audience)


def _take(transmitter: Transmitter, event: SecurityEvent, digest: str) -> ReceivedEvent:
    with platform_scope(), transaction.atomic():
        # One after the other per transmitter, so that a token sent twice at once is taken once.
        Transmitter.objects.select_for_update(of=("self",)).get(pk=transmitter.pk)
        known = ReceivedEvent.objects.filter(transmitter=transmitter, jti=event.jti).first()
        if known is not None:
            if known.digest != digest:
                raise SetRefused("invalid_request", "another event had this “jti” before")
            return known
        speaker = _speaker(transmitter)
        users = subjects.people(event.subject, transmitter.tenant_id)
        done = effects.apply(event, transmitter, users, principal=speaker)
        row = ReceivedEvent.objects.create(
            tenant_id=transmitter.tenant_id,
            transmitter=transmitter,
            jti=event.jti,
            digest=digest,
            types=[kind[:300] for kind in event.events],
            subject=subjects.label(event.subject),
            user=users[0] if users else None,
            reason=_reason(event),
            issued_at=datetime.fromtimestamp(event.issued_at, tz=UTC),
            state=_state(event, users, done),
            effects=done,
        )
        Transmitter.objects.filter(pk=transmitter.pk).update(last_event_at=timezone.now())
        record(
            principal=speaker,
            action="events.event.receive",
            target=ObjectRef.of(row, digest=digest),
            tenant_id=transmitter.tenant_id,
            reason=row.reason,
            details={"types": row.types, "state": row.state, "effects": done},
        )
        announce("event", str(row.id))
    return row


def _reason(event: SecurityEvent) -> str:
    """What the transmitter's administrators wrote, in English if they did (CAEP 1.0 §2)."""
    said = []
    for payload in event.events.values():
        given = payload.get("reason_admin")
        if isinstance(given, dict) and given:
            given = given.get("en", next(iter(given.values())))
        said += [given] if isinstance(given, str) else []
    return "; ".join(said)[:300]


def _state(event: SecurityEvent, users: list[Any], done: list[str]) -> str:
    if done:
        return State.APPLIED
    known = effects.EFFECTS.keys() & event.events.keys()
    return State.NOBODY if known and (not users or effects.ABOUT_DEVICES in known) else State.IGNORED


def _speaker(transmitter: Transmitter) -> Principal:
    """The transmitter as an actor of the audit log."""
    return replace(
        SYSTEM,
        kind="client",
        id=str(transmitter.pk),
        label=transmitter.name,
        tenant_id=transmitter.tenant_id,
        roles=frozenset(),
        platform=False,
    )
