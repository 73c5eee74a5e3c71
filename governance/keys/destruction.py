"""Destroying all keys of a tenant on purpose: two people, then nothing that was sealed can ever be read again."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import platform_tenant_id, record
from governance.errors import Conflict, InvalidInput, NotFound, Unavailable
from governance.keys import keyring
from governance.keys.errors import KeysUnavailable
from governance.keys.models import DataKey, Destruction, KeyState, ReEncryption, WrappingKey
from governance.keys.providers import provider_named
from governance.keys.states import ALIVE, DESTRUCTION_STATES, KEY_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.tasks import enqueue

log = logging.getLogger(__name__)

State = Destruction.State


@transaction.atomic
def request_destruction(*, principal: Principal, tenant_id: UUID, reason: str) -> Destruction:
    """Ask that all keys of a tenant be destroyed. Nothing happens until a second person confirms."""
    require(principal, "keys.destruction.request", tenant_id=tenant_id)
    if principal.accountable_user_id is None or not reason.strip():
        raise InvalidInput(_("Destroying keys needs a person who asks for it, and a reason."))
    if tenant_id == platform_tenant_id():
        raise InvalidInput(
            _("The platform's own keys cannot be destroyed while it runs."),
            hint=_("People could no longer prove their second factor."),
        )
    keyring.lock_tenant(tenant_id)
    if not WrappingKey.objects.filter(tenant_id=tenant_id, state__in=ALIVE).exists():
        raise Conflict(_("This tenant has no keys."))
    if Destruction.objects.filter(tenant_id=tenant_id, state=State.REQUESTED).exists():
        raise Conflict(_("The destruction of these keys has been asked for already."))
    request = Destruction.objects.create(
        tenant_id=tenant_id, reason=reason.strip(), requested_by_id=principal.accountable_user_id
    )
    record(
        principal=principal,
        action="keys.destruction.request",
        target=ObjectRef.of(request),
        tenant_id=tenant_id,
        reason=request.reason,
    )
    return request


@transaction.atomic
def confirm_destruction(*, principal: Principal, destruction_id: UUID) -> Destruction:
    """Destroy the keys, as a second person: wrapped data keys are erased now, wrapping keys right after the commit."""
    request = _locked(destruction_id)
    require(principal, "keys.key.destroy", request, context={"requested_by": str(request.requested_by_id)})
    if principal.accountable_user_id in (None, request.requested_by_id):
        raise Conflict(
            _("You asked for this yourself, so somebody else must confirm it."), code="own-request"
        )
    DESTRUCTION_STATES.check(request.state, State.CONFIRMED, principal.roles)
    keyring.lock_tenant(request.tenant_id)
    now = timezone.now()
    wrapping_keys = WrappingKey.objects.filter(tenant_id=request.tenant_id, state__in=ALIVE)
    for row in wrapping_keys.select_for_update(of=("self",)):
        KEY_STATES.check(row.state, KeyState.DESTROYED, principal.roles)
        row.state, row.destroyed_at = KeyState.DESTROYED, now
        row.destroyed_by_id = principal.accountable_user_id
        row.save(update_fields=["state", "destroyed_at", "destroyed_by"])
    data_keys = DataKey.objects.filter(tenant_id=request.tenant_id, state__in=ALIVE)
    erased = data_keys.update(state=KeyState.DESTROYED, destroyed_at=now, wrapped=b"")
    ReEncryption.objects.filter(
        tenant_id=request.tenant_id, state__in=[ReEncryption.State.QUEUED, ReEncryption.State.RUNNING]
    ).update(state=ReEncryption.State.CANCELLED, finished_at=now)
    _decide(request, State.CONFIRMED, principal)
    record(
        principal=principal,
        action="keys.key.destroy",
        target=ObjectRef.of(request),
        tenant_id=request.tenant_id,
        reason=request.reason,
        details={"data_keys": erased, "requested_by": str(request.requested_by_id)},
    )
    keyring.announce_change(request.tenant_id)
    enqueue("keys.erase")
    return request


@transaction.atomic
def withdraw_destruction(*, principal: Principal, destruction_id: UUID) -> Destruction:
    """Take the request back, or refuse it: the keys stay."""
    request = _locked(destruction_id)
    require(principal, "keys.destruction.request", request)
    DESTRUCTION_STATES.check(request.state, State.WITHDRAWN, principal.roles)
    _decide(request, State.WITHDRAWN, principal)
    record(
        principal=principal,
        action="keys.destruction.withdraw",
        target=ObjectRef.of(request),
        tenant_id=request.tenant_id,
    )
    return request


def erase_destroyed() -> int:
    """Erase destroyed wrapping keys at their providers; returns how many.

    Each is tried once. One that cannot be erased keeps no other waiting, and a provider that does not answer is not
    asked again; what is left stays noted as such and is tried by the next call.
    """
    erased, away = 0, set[str]()
    last: UUID | None = None
    while (row := _next_to_erase(last, away)) is not None:
        last = row.id
        try:
            erased += _erase(row.id)
        except (Unavailable, OSError) as error:
            log.warning("wrapping key %s of %s cannot be erased yet: %s", row.id, row.provider, error)
            if not _answers(row.provider):
                away.add(row.provider)
    return erased


def _next_to_erase(after: UUID | None, away: set[str]) -> WrappingKey | None:
    with platform_scope(), transaction.atomic():
        rows = WrappingKey.objects.filter(state=KeyState.DESTROYED, erased_at=None)
        rows = rows.exclude(provider__in=away).order_by("id")
        return (rows.filter(id__gt=after) if after else rows).first()


def _answers(name: str) -> bool:
    try:
        return provider_named(name).status().ok
    except KeysUnavailable:
        return False


def _erase(row_id: UUID) -> bool:
    with platform_scope(), transaction.atomic():
        row = (
            WrappingKey.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(pk=row_id, state=KeyState.DESTROYED, erased_at=None)
            .first()
        )
        if row is None:
            return False
        provider_named(row.provider).destroy_wrapping_key(row.reference)
        row.erased_at = timezone.now()
        row.save(update_fields=["erased_at"])
        record(
            principal=SYSTEM,
            action="keys.wrapping_key.erase",
            target=ObjectRef.of(row),
            tenant_id=row.tenant_id,
            details={"number": row.number, "provider": row.provider},
        )
        return True


def _locked(destruction_id: UUID) -> Destruction:
    found = Destruction.objects.select_for_update(of=("self",)).filter(pk=destruction_id).first()
    if found is None:
        raise NotFound(_("There is no such request."))
    return found


def _decide(request: Destruction, state: str, principal: Principal) -> None:
    request.state = state
    request.decided_by_id = principal.accountable_user_id
    request.decided_at = timezone.now()
    request.save(update_fields=["state", "decided_by", "decided_at"])
