"""Writing everything of a tenant anew that a retired data key sealed: long work that shows how far it is.

It goes in steps of a few seconds. Each step's position is kept with what it wrote, so a worker that dies costs at most
one step, and an object that is visited twice is left alone the second time. Once begun it is the house's duty, as an
erasure is: it goes on when whoever asked for it has lost the right to, for half of it would help nobody.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, DomainError, NotFound, Unavailable
from governance.keys import keyring
from governance.keys.models import ReEncryption
from governance.keys.rewriting import SealedCollection, collections
from governance.keys.states import RE_ENCRYPTION_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from governance.tenants.tasks import enqueue

log = logging.getLogger(__name__)

State = ReEncryption.State
OPEN = (State.QUEUED, State.RUNNING)

STEP_S = 2.0
PAGE = 100
MAX_PROBLEMS = 100
STALLED = timedelta(seconds=30)
# Long enough for every process to have heard which key is the active one.
HEARD_S = 2.0


@transaction.atomic
def re_encrypt(*, principal: Principal, tenant_id: UUID, purpose: str = "") -> ReEncryption:
    """Begin to write everything anew with the active data keys; one at a time per tenant."""
    require(principal, "keys.key.rotate", tenant_id=tenant_id)
    keyring.lock_tenant(tenant_id)
    if ReEncryption.objects.filter(tenant_id=tenant_id, state__in=OPEN).exists():
        raise Conflict(
            _("A re-encryption of this tenant is under way."), hint=_("Wait for it, or cancel it first.")
        )
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFound(_("There is no such tenant."))
    with tenant_context(tenant_id):
        total = sum(collection.count(tenant_id) for collection in collections(purpose))
    job = ReEncryption.objects.create(
        tenant_id=tenant_id, purpose=purpose, total=total, requested_by_id=principal.accountable_user_id
    )
    record(
        principal=principal,
        action="keys.re_encryption.start",
        target=ObjectRef.of(job),
        tenant_id=tenant_id,
        details={"purpose": purpose, "objects": total},
    )
    enqueue("keys.re_encrypt", countdown=HEARD_S, job_id=job.id, tenant_id=tenant_id)
    return job


@transaction.atomic
def cancel_re_encryption(*, principal: Principal, job_id: UUID) -> ReEncryption:
    """Stop after the present step. What is written anew stays so; the rest stays readable as it is."""
    job = ReEncryption.objects.select_for_update(of=("self",)).filter(pk=job_id).first()
    if job is None:
        raise NotFound(_("There is no such re-encryption."))
    require(principal, "keys.key.rotate", job)
    _finish(job, State.CANCELLED, principal)
    return job


def step(job_id: UUID, tenant_id: UUID, *, limit_s: float = STEP_S) -> bool:
    """Work for about `limit_s` seconds; returns whether there is more to do now, for which the next step is queued.

    What keeps it from going on (keys, storage or a file out of reach) is named in `waits_for`; what was done until then
    is kept, nothing is skipped, and `resume_stalled` tries again.
    """
    with tenant_context(tenant_id), transaction.atomic():
        job = (
            ReEncryption.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(pk=job_id, state__in=OPEN)
            .first()
        )
        if job is None:
            return False
        if job.state == State.QUEUED:
            RE_ENCRYPTION_STATES.check(job.state, State.RUNNING)
            job.state = State.RUNNING
        more, job.waits_for = False, ""
        try:
            more = _walk(job, time.monotonic() + limit_s)
        except (Unavailable, OSError) as error:
            job.waits_for = _in_words(error)[:300]
            log.warning("the re-encryption %s waits: %s", job.id, job.waits_for)
        job.touched_at = timezone.now()
        job.save(
            update_fields=["state", "position", "seen", "rewritten", "problems", "waits_for", "touched_at"]
        )
        if job.waits_for:
            return False
        if more:
            enqueue("keys.re_encrypt", job_id=job.id, tenant_id=tenant_id)
        else:
            _finish(job, State.DONE, SYSTEM)
        return more


def resume_stalled() -> int:
    """Queue the next step of every job that nobody has worked on for a while; returns how many."""
    with platform_scope(), transaction.atomic():
        stalled = ReEncryption.objects.filter(state__in=OPEN, touched_at__lte=timezone.now() - STALLED)
        for job in stalled:
            enqueue("keys.re_encrypt", job_id=job.id, tenant_id=job.tenant_id)
        return len(stalled)


def _walk(job: ReEncryption, deadline: float) -> bool:
    for collection in collections(job.purpose):
        while keys := _next(job, collection):
            for key in keys:
                _rewrite(job, collection, key)
                job.position[collection.name] = key
                if time.monotonic() > deadline:
                    return True
    return False


def _next(job: ReEncryption, collection: SealedCollection) -> list[str]:
    after = job.position.get(collection.name, "")
    return list(collection.keys(job.tenant_id, after=after, limit=PAGE))


def _rewrite(job: ReEncryption, collection: SealedCollection, key: str) -> None:
    try:
        with transaction.atomic():
            job.rewritten += collection.rewrite(job.tenant_id, key)
    except Unavailable:
        raise  # it may be written anew later, so it must not be passed over
    except DomainError as error:
        if len(job.problems) < MAX_PROBLEMS:
            job.problems.append({"collection": collection.name, "object": key, "code": error.code})
    job.seen += 1


def _in_words(error: Unavailable | OSError) -> str:
    """What to tell an administrator: never a path."""
    if isinstance(error, OSError):
        return _("A file cannot be read or written: %(reason)s.") % {
            "reason": error.strerror or type(error).__name__
        }
    detail = getattr(error, "detail", "")
    return f"{error.message} ({detail})" if detail else str(error.message)


def _finish(job: ReEncryption, state: str, principal: Principal) -> None:
    RE_ENCRYPTION_STATES.check(job.state, state, principal.roles)
    job.state = state
    job.finished_at = timezone.now()
    job.save(update_fields=["state", "finished_at"])
    record(
        principal=principal,
        action=f"keys.re_encryption.{state}",
        target=ObjectRef.of(job),
        tenant_id=job.tenant_id,
        details={"seen": job.seen, "rewritten": job.rewritten, "problems": len(job.problems)},
    )
