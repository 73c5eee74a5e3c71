"""Verifications that run in the background, with progress, and their kept results."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit.findings import ChainReport
from governance.audit.gate import require
from governance.audit.models import AuditHead, ChainCut, ChainVerification
from governance.audit.services import record
from governance.audit.states import VERIFICATION_STATES
from governance.audit.verification import verify_chain
from governance.errors import IllegalTransition, NotFound
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant
from governance.tenants.tasks import enqueue

log = logging.getLogger(__name__)

State = ChainVerification.State
# After so long a run has no worker any more, and another one may begin.
GIVEN_UP_AFTER = timedelta(hours=6)
# How many results of a chain are kept.
KEPT_RESULTS = 50


@transaction.atomic
def start_verification(*, principal: Principal, tenant_id: UUID) -> ChainVerification:
    """Have a chain verified in the background. While one runs for this chain, that one is the answer."""
    require(principal, "audit.chain.verify", tenant_id=tenant_id)
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFound(_("There is no such tenant."))
    running = ChainVerification.objects.select_for_update(of=("self",)).filter(
        tenant_id=tenant_id, state__in=[State.QUEUED, State.RUNNING]
    )
    if found := running.first():
        if found.asked_at > timezone.now() - GIVEN_UP_AFTER:
            return found
        _move(found, State.FAILED)
    try:
        with transaction.atomic():
            made = ChainVerification.objects.create(tenant_id=tenant_id, asked_by_label=principal.label[:200])
    except IntegrityError:
        return running.get()
    if principal.kind != "system":
        record(
            principal=principal,
            action="audit.chain.verify",
            target=ObjectRef(type="tenants.tenant", id=str(tenant_id)),
            tenant_id=tenant_id,
        )
    enqueue("audit.verify_chain", verification_id=made.id)
    return made


def verify_all() -> int:
    """Have every chain verified; returns how many there are."""
    with platform_scope(), transaction.atomic():
        tenants = list(Tenant.objects.values_list("id", flat=True))
        for tenant_id in tenants:
            start_verification(principal=SYSTEM, tenant_id=tenant_id)
    return len(tenants)


def run_verification(verification_id: UUID) -> None:
    """Do it, in the context of who asked. A message that comes twice finds nothing left to do."""
    try:
        run = _begun(verification_id)
    except (IllegalTransition, ChainVerification.DoesNotExist):
        return
    try:
        report = verify_chain(run.tenant_id, progress=lambda checked: _progress(verification_id, checked))
    except Exception:
        with transaction.atomic():
            _move(
                ChainVerification.objects.select_for_update(of=("self",)).get(pk=verification_id),
                State.FAILED,
            )
        raise
    _keep(verification_id, report)


@transaction.atomic
def end_revoked(reason: str, *, verification_id: UUID | str) -> None:
    """Who asked for it may no longer have it done: it ends, so that another one can begin at once."""
    rows = ChainVerification.objects.select_for_update(of=("self",))
    run = rows.filter(pk=verification_id, state__in=[State.QUEUED, State.RUNNING]).first()
    if run is not None:
        _move(run, State.FAILED)
        log.warning("the verification of the chain of tenant %s ended: %s", run.tenant_id, reason)


@transaction.atomic
def _begun(verification_id: UUID) -> ChainVerification:
    run = ChainVerification.objects.select_for_update(of=("self",)).get(pk=verification_id)
    VERIFICATION_STATES.check(run.state, State.RUNNING)
    head = AuditHead.objects.filter(tenant_id=run.tenant_id).first()
    cut = ChainCut.objects.filter(tenant_id=run.tenant_id).order_by("-through").first()
    run.state = State.RUNNING
    run.checked = 0
    run.total = (head.sequence if head else 0) - (cut.through if cut else 0)
    run.save(update_fields=["state", "checked", "total"])
    return run


@transaction.atomic
def _progress(verification_id: UUID, checked: int) -> None:
    ChainVerification.objects.filter(pk=verification_id, state=State.RUNNING).update(checked=checked)


@transaction.atomic
def _keep(verification_id: UUID, report: ChainReport) -> None:
    run = ChainVerification.objects.select_for_update(of=("self",)).get(pk=verification_id)
    run.checked, run.total = report.entries, max(run.total, report.entries)
    run.signed_through, run.cut_through = report.signed_through, report.cut_through
    run.problems = [problem.as_json() for problem in report.problems]
    run.more_problems = report.more_problems
    _move(run, State.HOLDS if report.ok else State.BROKEN)
    old = ChainVerification.objects.filter(tenant_id=run.tenant_id).order_by("-id")[KEPT_RESULTS:]
    ChainVerification.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    for problem in report.problems:
        log.critical(
            "audit chain of tenant %s: %s at entry %d", run.tenant_id, problem.kind.value, problem.entry
        )


def _move(run: ChainVerification, target: str) -> None:
    VERIFICATION_STATES.check(run.state, target)
    run.state = target
    run.finished_at = timezone.now()
    run.save()
