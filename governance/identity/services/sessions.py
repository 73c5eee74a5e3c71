"""Sessions of people: begun, used, proven again, ended."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import platform_tenant_id, record
from governance.errors import NotFound
from governance.identity import care as cares
from governance.identity.care import Care, Place
from governance.identity.models import UserSession
from governance.identity.selectors import rules_for
from governance.identity.sessions import STORED, digest
from governance.principals import SYSTEM, Factor, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, User

KEPT = timedelta(days=90)
AT_ONCE = 1_000
OVER = "no activity, or longest time reached"


@transaction.atomic
def begin(
    *, principal: Principal, user: User, session: SessionBase, factor: Factor, place: Place
) -> UserSession:
    """Keep a session that has just begun. `principal` is the person in the tenant where the session starts."""
    rules = rules_for(user)
    now = time.time()
    previous = cares.read(session)
    with platform_scope():
        if previous is not None:
            _end(UserSession.objects.filter(pk=previous.session_id), principal, reason="signed in again")
        row = UserSession.objects.create(
            tenant_id=principal.tenant_id or platform_tenant_id(),
            user=user,
            key_digest=digest(str(session.session_key)),
            factor=factor.value,
            started_at=_at(now),
            last_seen_at=_at(now),
            valid_until=_at(now + min(rules.idle_s, rules.session_s)),
            network=place.network,
            program=place.program,
        )
        kept = cares.begun(row.id, rules, now=now, setup=not rules.satisfied_by(factor))
        cares.write(session, kept)
        session.set_expiry(rules.session_s)
        record(
            principal=principal,
            action="identity.session.begin",
            target=_person(user),
            tenant_id=row.tenant_id,
            details={"factor": factor.value, "network": place.network, "second_factor_due": kept.setup},
        )
    return row


@transaction.atomic
def use(*, session: SessionBase, user: User, tenant_id: UUID | None, factor: Factor) -> Care | None:
    """Note that a session is used now, where, and under which rules; they may have changed since it began.

    Returns None when the session has been ended meanwhile.
    """
    kept = cares.read(session)
    if kept is None:
        return None
    rules = rules_for(user)
    care = replace(
        kept,
        seen=time.time(),
        idle_s=rules.idle_s,
        session_s=rules.session_s,
        setup=not rules.satisfied_by(factor),
    )
    with platform_scope():
        changed = UserSession.objects.filter(pk=care.session_id, ended_at=None).update(
            last_seen_at=_at(care.seen),
            valid_until=_at(care.ends_at),
            tenant_id=tenant_id or platform_tenant_id(),
        )
    if not changed:
        return None
    cares.write(session, care)
    return care


@transaction.atomic
def prove(*, principal: Principal, user: User, session: SessionBase, factor: Factor, reason: str) -> None:
    """Note that the person has proven who they are again. The session gets a new key: an old one opens nothing."""
    session.cycle_key()
    kept = cares.read(session)
    if kept is not None:
        satisfied = rules_for(user).satisfied_by(factor)
        cares.write(session, replace(kept, seen=time.time(), setup=not satisfied))
        with platform_scope():
            row = UserSession.objects.select_for_update(of=("self",)).get(pk=kept.session_id)
            announce("session", row.key_digest)
            row.key_digest, row.factor = digest(str(session.session_key)), factor.value
            row.save(update_fields=["key_digest", "factor"])
    record(
        principal=principal,
        action="identity.session.prove",
        target=_person(user),
        details={"factor": factor.value, "for": reason},
    )


@transaction.atomic
def end_present(*, principal: Principal, session: SessionBase, reason: str) -> None:
    """End the session that asks: signed out, or over."""
    kept = cares.read(session)
    if kept is not None:
        with platform_scope():
            _end(UserSession.objects.filter(pk=kept.session_id), principal, reason=reason)


@transaction.atomic
def end_own(*, principal: Principal, session_id: UUID) -> UserSession:
    """End one of one's own sessions, in whichever tenant it works."""
    require(principal, "identity.own-session.end")
    assert principal.user_id is not None
    with platform_scope():
        rows = UserSession.open.filter(pk=session_id, user_id=principal.user_id)
        ended = _end(rows, principal, reason="ended by its owner")
    if not ended:
        raise NotFound(_("There is no such session, or it has ended already."))
    return ended[0]


@transaction.atomic
def end_others(*, principal: Principal, user: User, session: SessionBase, reason: str) -> int:
    """End every session of one's own but the present one."""
    kept = cares.read(session)
    with platform_scope():
        rows = UserSession.objects.filter(user=user, ended_at=None)
        return len(_end(rows.exclude(pk=kept.session_id) if kept else rows, principal, reason=reason))


@transaction.atomic
def end(*, principal: Principal, session_id: UUID, reason: str) -> UserSession:
    """End a session that works in the administrator's tenant, within a second everywhere."""
    row = UserSession.open.select_for_update(of=("self",)).filter(pk=session_id).first()
    if row is None:
        raise NotFound(_("There is no such session, or it has ended already."))
    require(principal, "identity.session.end", row)
    _end(UserSession.objects.filter(pk=row.pk), principal, reason=reason or "ended by an administrator")
    row.refresh_from_db()
    return row


@transaction.atomic
def end_of_person(*, principal: Principal, user_id: UUID, tenant_id: UUID, reason: str) -> int:
    """End every session of a person that works in this tenant; returns how many there were."""
    require(principal, "identity.session.end", tenant_id=tenant_id)
    person = Membership.objects.filter(user_id=user_id, tenant_id=tenant_id).exists()
    rows = UserSession.objects.filter(user_id=user_id, tenant_id=tenant_id, ended_at=None)
    if not person and not rows.exists():
        raise NotFound(_("There is no such person in this tenant."))
    return len(_end(rows, principal, reason=reason or "ended by an administrator"))


def end_everywhere(*, principal: Principal, user_id: UUID, reason: str) -> int:
    """End every session of a person in every tenant: what services do when the identity itself is in doubt."""
    with platform_scope(), transaction.atomic():
        return len(_end(UserSession.objects.filter(user_id=user_id, ended_at=None), principal, reason=reason))


def end_with_account(principal: Principal, user: User) -> None:
    """An account that was disabled opens none of its old sessions when it is enabled again."""
    end_everywhere(principal=principal, user_id=user.pk, reason="the account was disabled")


def end_over() -> int:
    """End what rested or lasted too long, also where no further request comes: open pages are told, too."""
    with platform_scope(), transaction.atomic():
        now = timezone.now()
        over = UserSession.objects.filter(ended_at=None, valid_until__lte=now).order_by("valid_until")
        ids = list(over.values_list("pk", flat=True)[:AT_ONCE])
        return len(_end(UserSession.objects.filter(pk__in=ids), SYSTEM, reason=OVER))


def why_ended(key: str) -> str:
    """Why the session with this key ended; empty when it did not, or is not known."""
    with platform_scope(), transaction.atomic():
        row = UserSession.objects.filter(key_digest=digest(key)).exclude(ended_at=None).first()
        return row.end_reason if row else ""


def drop_old() -> int:
    """Forget sessions that ended long ago, and Django's own that have expired."""
    with platform_scope(), transaction.atomic():
        before = timezone.now() - KEPT
        over = Q(ended_at__lt=before) | Q(ended_at=None, valid_until__lt=before)
        count, _each = UserSession.objects.filter(over).delete()
        Session.objects.filter(expire_date__lt=timezone.now()).delete()
    return count


def _end(rows: QuerySet[UserSession], principal: Principal, *, reason: str) -> list[UserSession]:
    """Mark the open ones of these rows ended, delete what their cookies open, tell every process, and record it."""
    ended = list(rows.filter(ended_at=None).select_for_update(of=("self",)).select_related("user"))
    now = timezone.now()
    for row in ended:
        row.ended_at, row.end_reason = now, reason[:200]
        row.save(update_fields=["ended_at", "end_reason"])
        announce("session", row.key_digest)
        record(
            principal=principal,
            action="identity.session.end",
            target=ObjectRef(row._meta.label_lower, str(row.pk), label=row.user.get_username()),
            tenant_id=row.tenant_id,
            reason=reason,
        )
    Session.objects.filter(session_key__in=[row.key_digest[:STORED] for row in ended]).delete()
    return ended


def _person(user: User) -> ObjectRef:
    return ObjectRef("tenants.user", str(user.pk), label=user.get_username())


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
