"""Erasure as a job: find every place, handle each in its own transaction, leave a signed receipt."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.data import erasers
from governance.data.datasets import TYPE, erase_file
from governance.data.erasers import Handled
from governance.data.flow import CARRYING
from governance.data.lineage import graph_of
from governance.data.models import Asset, Erasure, ErasurePlace
from governance.data.receipts import write_receipt
from governance.data.selectors import asset_of
from governance.data.states import ERASURE_STATES, OPEN
from governance.errors import Conflict, DomainError, InvalidInput, NotFound
from governance.ids import uuid7
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.tasks import enqueue

log = logging.getLogger(__name__)

State = Erasure.State
Outcome = ErasurePlace.Outcome
LEASE = timedelta(minutes=2)
TASK = "data.erase"
AUDIT = "audit.log"


@transaction.atomic
def request_erasure(
    *, principal: Principal, kind: str, reference: str, reason: str, tenant_id: UUID | None = None
) -> Erasure:
    """Queue an erasure of an asset with what came of it, or of what is kept about a data subject.

    One open erasure per reference: asking again returns it. Raises NotFound for an unknown asset.
    """
    tenant = tenant_id or principal.tenant_id
    require(principal, "data.erasure.request", tenant_id=tenant)
    reference = reference.strip()
    if tenant is None or kind not in Erasure.Kind.values or not reference or len(reference) > 200:
        raise InvalidInput(_("Say what to erase: an asset, or the key of a person."))
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it stands on the receipt."))
    if kind == Erasure.Kind.ASSET and _root(reference, tenant) is None:
        raise NotFound(_("There is no such asset."))
    known = Erasure.objects.filter(tenant_id=tenant, kind=kind, reference=reference, state__in=OPEN).first()
    if known is not None:
        return known
    erasure = Erasure.objects.create(
        tenant_id=tenant,
        kind=kind,
        reference=reference,
        reason=reason.strip(),
        requested_by_id=principal.accountable_user_id,
        requested_by_label=principal.label[:200],
        lease_until=timezone.now() + LEASE,
    )
    _record(erasure, "request", principal=principal, reason=erasure.reason)
    _send(erasure)
    return erasure


@transaction.atomic
def cancel_erasure(*, principal: Principal, erasure_id: UUID, reason: str) -> Erasure:
    """Stop an erasure; what is erased stays erased, and the receipt says how far it went."""
    erasure = _locked(erasure_id)
    require(principal, "data.erasure.request", erasure)
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the erasure."))
    _end(erasure, State.CANCELLED, principal=principal, reason=reason.strip())
    return erasure


@transaction.atomic
def retry_erasure(*, principal: Principal, erasure_id: UUID) -> Erasure:
    """Try again the places of an incomplete erasure that needed a person."""
    erasure = _locked(erasure_id)
    require(principal, "data.erasure.request", erasure)
    if erasure.state != State.INCOMPLETE:
        raise Conflict(_("Only an incomplete erasure can be tried again."))
    erasure.places.filter(outcome=Outcome.BY_HAND).update(outcome=Outcome.FOUND, reason="", at=None)
    ERASURE_STATES.check(erasure.state, State.RUNNING)
    erasure.state = State.RUNNING
    erasure.lease_until, erasure.lease_token = timezone.now() + LEASE, None
    erasure.save(update_fields=["state", "lease_until", "lease_token"])
    _record(erasure, "retry", principal=principal)
    _send(erasure)
    return erasure


@transaction.atomic
def confirm_place(*, principal: Principal, erasure_id: UUID, place_id: UUID, note: str) -> Erasure:
    """Keep that a person has erased what the house could not: who, when, and how. The last one completes the erasure.

    The receipt is written anew and says so. Raises Conflict for a place that needs nobody.
    """
    erasure = _locked(erasure_id)
    require(principal, "data.erasure.request", erasure)
    if principal.accountable_user_id is None:
        raise InvalidInput(_("Only a person can say that it is done."))
    if not note.strip():
        raise InvalidInput(_("Say what was done; it stands on the receipt."))
    place = erasure.places.select_for_update(of=("self",)).filter(pk=place_id).first()
    if place is None:
        raise NotFound(_("There is no such place."))
    if erasure.state != State.INCOMPLETE or place.outcome != Outcome.BY_HAND:
        raise Conflict(_("This place does not wait for a person."))
    place.confirmed_by_id = principal.accountable_user_id
    place.confirmed_by_label = principal.label[:200]
    _settle(
        erasure, place, target_of(place), Handled(Outcome.DONE_BY_HAND, note.strip()), principal=principal
    )
    if erasure.places.filter(outcome=Outcome.BY_HAND).exists():
        write_receipt(erasure)
        erasure.save(update_fields=["receipt", "receipt_digest", "signature"])
    else:
        _end(erasure, State.DONE, principal=principal, reason="")
    return erasure


def run_erasure(erasure_id: UUID) -> None:
    """Do what is left of an erasure. A message that comes while a worker is at it, or after the end, does nothing."""
    erasure = _begin(erasure_id)
    if erasure is None:
        return
    with tenant_context(erasure.tenant_id):
        if erasure.planned_at is None:
            _plan(erasure)
        while (place := _next(erasure)) is not None:
            _handle(erasure, place)
        _finish(erasure)


def resume_stalled() -> int:
    """Send again what a lost worker has left; returns how many."""
    now = timezone.now()
    with platform_scope(), transaction.atomic():
        rows = Erasure.objects.select_for_update(of=("self",), skip_locked=True)
        stalled = list(rows.filter(state__in=OPEN, lease_until__lte=now)[:100])
        for erasure in stalled:
            Erasure.objects.filter(pk=erasure.pk).update(lease_until=now + LEASE, lease_token=None)
            with tenant_context(erasure.tenant_id):
                _send(erasure)
        return len(stalled)


def _begin(erasure_id: UUID) -> Erasure | None:
    with platform_scope(), transaction.atomic():
        rows = Erasure.objects.select_for_update(of=("self",), skip_locked=True)
        erasure = rows.filter(pk=erasure_id, state__in=OPEN).first()
        now = timezone.now()
        if erasure is None or (erasure.lease_token and erasure.lease_until and erasure.lease_until > now):
            return None
        ERASURE_STATES.check(erasure.state, State.RUNNING)
        erasure.state = State.RUNNING
        erasure.lease_until, erasure.lease_token = now + LEASE, uuid7()
        erasure.save(update_fields=["state", "lease_until", "lease_token"])
        return erasure


def _plan(erasure: Erasure) -> None:
    with transaction.atomic():
        found = list(_places(erasure))
        ErasurePlace.objects.bulk_create(
            [
                ErasurePlace(
                    tenant_id=erasure.tenant_id,
                    erasure=erasure,
                    type=target.type,
                    object_id=target.id,
                    digest=target.digest,
                    name=(target.label or target.id)[:200],
                    depth=depth,
                )
                for target, depth in found
            ],
            ignore_conflicts=True,
        )
        erasure.planned_at = timezone.now()
        erasure.save(update_fields=["planned_at"])


def _send(erasure: Erasure) -> None:
    # Once accepted it is the house's duty, whatever becomes of the person who asked.
    enqueue(TASK, cause=Cause.house(erasure.tenant_id), erasure_id=erasure.id)


def _places(erasure: Erasure) -> Iterable[tuple[ObjectRef, int]]:
    yield ObjectRef(type=AUDIT, id=str(erasure.tenant_id), label=_("Audit log")), 0
    if erasure.kind == Erasure.Kind.SUBJECT:
        for target in erasers.places_of(erasure.reference, erasure.tenant_id):
            yield target, 0
        return
    root = _root(erasure.reference, erasure.tenant_id)
    if root is None:
        return
    graph = graph_of(root, backward=False, relations=CARRYING, most=None)
    for node in sorted(graph.nodes, key=lambda node: node.depth):
        yield node.asset.target, node.depth


def _next(erasure: Erasure) -> ErasurePlace | None:
    """The next place to handle, with the lease renewed; None at the end, when it was stopped, or taken over."""
    with transaction.atomic():
        mine = Erasure.objects.filter(pk=erasure.pk, state=State.RUNNING, lease_token=erasure.lease_token)
        going = mine.update(lease_until=timezone.now() + LEASE)
        return erasure.places.filter(outcome=Outcome.FOUND).order_by("depth", "id").first() if going else None


def _handle(erasure: Erasure, place: ErasurePlace) -> None:
    target = target_of(place)
    root = erasure.kind == Erasure.Kind.ASSET and place.depth == 0
    try:
        with transaction.atomic():
            handled = erasers.erase(target, erasure.tenant_id, root=root)
            _settle(erasure, place, target, handled)
    except Exception as error:
        # One place that fails must not keep the others from being erased; a person sees why.
        log.exception("erasing %s failed", target)
        with transaction.atomic():
            _settle(erasure, place, target, Handled(Outcome.BY_HAND, why(error)))


def why(error: Exception) -> str:
    """What people are told of an eraser that failed; an unexpected error's text may hold anything, so only its kind."""
    if isinstance(error, DomainError | OSError):
        return str(error)
    return _("an unexpected error (%(kind)s); the log has the details") % {"kind": type(error).__name__}


def target_of(place: ErasurePlace) -> ObjectRef:
    """The object at a place."""
    return ObjectRef(type=place.type, id=place.object_id, digest=place.digest, label=place.name)


def _settle(
    erasure: Erasure,
    place: ErasurePlace,
    target: ObjectRef,
    handled: Handled,
    *,
    principal: Principal = SYSTEM,
) -> None:
    now = timezone.now()
    place.outcome, place.reason, place.at = handled.outcome, handled.reason[:500], now
    place.save(update_fields=["outcome", "reason", "at", "confirmed_by", "confirmed_by_label"])
    mark(target, tenant_id=erasure.tenant_id, outcome=handled.outcome)
    record(
        principal=principal,
        action=f"data.erasure.{handled.outcome}",
        target=target,
        tenant_id=erasure.tenant_id,
        reason=handled.reason,
        details={"erasure": str(erasure.id)},
    )


def mark(target: ObjectRef, *, tenant_id: UUID, outcome: str) -> None:
    """Write onto the catalogue's entry that the object is erased, or that it must be retrained."""
    field = {
        Outcome.ERASED: "erased_at",
        Outcome.KEY_DESTROYED: "erased_at",
        Outcome.DONE_BY_HAND: "erased_at",
        Outcome.MUST_RETRAIN: "must_retrain_at",
    }.get(Outcome(outcome))
    if field:
        Asset.objects.filter(tenant_id=tenant_id, type=target.type, object_id=target.id).update(
            **{field: timezone.now()}
        )


def _finish(erasure: Erasure) -> None:
    with transaction.atomic():
        locked = _locked(erasure.id)
        mine = locked.state == State.RUNNING and locked.lease_token == erasure.lease_token
        if not mine or locked.places.filter(outcome=Outcome.FOUND).exists():
            return
        open_ = locked.places.filter(outcome=Outcome.BY_HAND).exists()
        _end(locked, State.INCOMPLETE if open_ else State.DONE, principal=SYSTEM, reason="")


def _end(erasure: Erasure, target: str, *, principal: Principal, reason: str) -> None:
    ERASURE_STATES.check(erasure.state, target)
    erasure.state = target
    erasure.finished_at = timezone.now()
    erasure.lease_until = erasure.lease_token = None
    write_receipt(erasure)
    erasure.save(
        update_fields=[
            "state", "finished_at", "lease_until", "lease_token", "receipt", "receipt_digest", "signature",
        ]
    )  # fmt: skip
    _record(erasure, str(target), principal=principal, reason=reason)


def _root(reference: str, tenant_id: UUID) -> Asset | None:
    try:
        return Asset.objects.filter(pk=UUID(reference), tenant_id=tenant_id).first()
    except ValueError:
        return None


def _locked(erasure_id: UUID) -> Erasure:
    erasure = Erasure.objects.select_for_update(of=("self",)).filter(pk=erasure_id).first()
    if erasure is None:
        raise NotFound(_("There is no such erasure."))
    return erasure


def _record(erasure: Erasure, what: str, *, principal: Principal, reason: str = "") -> None:
    record(
        principal=principal,
        action=f"data.erasure.{what}",
        target=ObjectRef.of(erasure, digest=erasure.receipt_digest),
        tenant_id=erasure.tenant_id,
        reason=reason,
        details={"what": erasure.kind, "reference": erasure.reference},
    )


def own_erasers() -> None:
    """Register how this app's own objects are erased."""
    erasers.register(TYPE, erase=_erase_dataset)
    erasers.register(AUDIT, erase=_keep_audit)


def _erase_dataset(target: ObjectRef, tenant_id: UUID) -> Handled:
    asset = asset_of(target, tenant_id=tenant_id)
    if asset is None:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    if done := erase_file(asset):
        return Handled(Outcome.ERASED, done)
    return Handled(Outcome.BY_HAND, _("it lies elsewhere; erase it at the place that the reference names"))


def _keep_audit(target: ObjectRef, tenant_id: UUID) -> Handled:
    return Handled(Outcome.RETAINED, _("it says who did what and never holds content; the law wants it kept"))
