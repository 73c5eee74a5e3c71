"""Pressing and releasing stop buttons. Effective everywhere within a second of the commit."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import platform_tenant_id, record
from governance.errors import InvalidInput, NotFound
from governance.oversight.models import Stop
from governance.oversight.states import STOP_STATES
from governance.oversight.stops import TYPES, book
from governance.principals import Principal
from governance.refs import ObjectRef

Scope = Stop.Scope
State = Stop.State
NO_TARGET = ObjectRef("", "")


@transaction.atomic
def press_stop(
    *,
    principal: Principal,
    scope: str,
    reason: str,
    target: ObjectRef = NO_TARGET,
    tenant_id: UUID | None = None,
) -> Stop:
    """Stop an endpoint, a skill, a tenant or the platform now. Pressing again while it is pressed changes nothing.

    Whose thing it is says `tenant_id` (default: the principal's tenant); the platform's stop belongs to the platform.
    """
    if scope not in Scope.values:
        raise InvalidInput(
            _("There is no stop button for “%(scope)s”.") % {"scope": scope},
            hint=_("Choose one of: %(scopes)s.") % {"scopes": ", ".join(Scope.values)},
        )
    owner = platform_tenant_id() if scope == Scope.PLATFORM else tenant_id or principal.tenant_id
    action = {
        Scope.TENANT: "oversight.stop.press_tenant",
        Scope.PLATFORM: "oversight.stop.press_platform",
    }.get(Scope(scope), "oversight.stop.press")
    require(principal, action, target if target.id else None, tenant_id=owner)
    if not reason.strip():
        raise InvalidInput(_("Say why; people who are refused read it."))
    if owner is None:
        raise InvalidInput(_("Say which organisation is to be stopped."))
    if scope in (Scope.ENDPOINT, Scope.SKILL):
        if TYPES.get(target.type) != scope or not target.id:
            raise InvalidInput(_("Say which endpoint or skill is to be stopped."))
    else:
        target = NO_TARGET
    key = {"tenant_id": owner, "scope": scope, "target_type": target.type, "target_id": target.id}
    stop = Stop.objects.select_for_update(of=("self",)).filter(**key).exclude(state=State.RELEASED).first()
    if stop is None:
        stop = Stop.objects.create(
            **key,
            target_label=target.label,
            reason=reason.strip(),
            pressed_by_id=principal.accountable_user_id,
        )
        _say(stop, "press", principal=principal, reason=reason.strip())
    elif stop.state == State.RELEASING:
        _move(stop, State.PRESSED, principal=principal, action="press", reason=reason.strip())
    return stop


@transaction.atomic
def ask_release(*, principal: Principal, stop_id: UUID, reason: str) -> Stop:
    """The first of two people says why it may go on. Nothing runs yet."""
    stop = _locked(stop_id)
    require(principal, "oversight.stop.ask_release", stop)
    if len(reason.strip()) < 10:
        raise InvalidInput(_("Say in at least 10 characters why it may go on."))
    stop.release_asked_by_id = principal.accountable_user_id
    stop.release_asked_at = timezone.now()
    stop.release_reason = reason.strip()
    _move(stop, State.RELEASING, principal=principal, action="ask_release", reason=reason.strip())
    return stop


@transaction.atomic
def release_stop(*, principal: Principal, stop_id: UUID) -> Stop:
    """The second person releases it; what it covered answers again within a second."""
    stop = _locked(stop_id)
    require(
        principal,
        "oversight.stop.release",
        stop,
        context={"requested_by": str(stop.release_asked_by_id)} if stop.release_asked_by_id else {},
    )
    stop.released_by_id = principal.accountable_user_id
    stop.released_at = timezone.now()
    _move(stop, State.RELEASED, principal=principal, action="release", reason=stop.release_reason)
    return stop


def _locked(stop_id: UUID) -> Stop:
    stop = Stop.objects.select_for_update(of=("self",)).filter(pk=stop_id).first()
    if stop is None:
        raise NotFound(_("There is no such stop."))
    return stop


def _move(stop: Stop, target: str, *, principal: Principal, action: str, reason: str) -> None:
    STOP_STATES.check(stop.state, target, principal.roles)
    stop.state = target
    stop.save()
    _say(stop, action, principal=principal, reason=reason)


def _say(stop: Stop, action: str, *, principal: Principal, reason: str) -> None:
    announce("stop", str(stop.id))
    # This process hears its own announcement only after the commit has travelled.
    transaction.on_commit(book.clear)
    record(
        principal=principal,
        action=f"oversight.stop.{action}",
        target=ObjectRef(
            stop.target_type or "oversight.stop", stop.target_id or str(stop.id), label=str(stop)[:200]
        ),
        tenant_id=stop.tenant_id,
        reason=reason,
        details={"scope": stop.scope, "stop": str(stop.id)},
    )
