"""What waits, sealed, until a person has confirmed it: given afterwards to whoever asked, and to nobody else.

The right that the question needed is asked for again at every fetch, so that a stop button, a revoked grant or an
approval that has ended hold for what was withheld as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require, require_obligations
from governance.errors import Conflict, DomainError, NotFound, TooLarge
from governance.keys import columns
from governance.oversight import selectors
from governance.oversight.duties import ADDRESS, fulfilled_by_confirming
from governance.oversight.models import OversightTask, Withheld
from governance.oversight.tasking import (
    CONFIRM,
    GRACE,
    YES_NO,
    move,
    open_task,
    record_step,
    whose_matter,
)
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

PURPOSE = "oversight.withheld"
MAX_BYTES = 1024 * 1024
MAX_WAITING = 1_000

State = OversightTask.State


class WaitsForAPerson(DomainError):
    """Accepted, but nothing is given before a person has confirmed it: HTTP 202 with the task's number."""

    status = 202
    code = "waits-for-a-person"

    def __init__(self, task: OversightTask, *, hint: str = "") -> None:
        super().__init__(
            _("A person must confirm this first, by %(due)s.")
            % {"due": task.due_at.isoformat("T", "minutes")},
            hint=hint or _("Ask again later at %(address)s.") % {"address": ADDRESS.format(task=task.id)},
            errors=[{"pointer": "/oversight_task", "detail": str(task.id)}],
        )
        self.task_id = task.id


class Rejected(DomainError):
    """A person looked at it and said no."""

    status = 403
    code = "rejected-by-a-person"


class Lapsed(DomainError):
    """Nobody confirmed it in time, it was withdrawn, or it is kept no longer."""

    status = 410
    code = "no-longer-kept"


@dataclass(frozen=True, slots=True)
class Content:
    """What was withheld. `json_bytes` is the size of its JSON part where binary tensors follow."""

    data: bytes
    content_type: str
    json_bytes: int | None = None

    def shown(self, limit: int) -> str:
        """The beginning of its readable part, for a page."""
        return self.data[: self.json_bytes][:limit].decode("utf-8", "replace")


@transaction.atomic
def withhold(
    *,
    holder: Principal,
    action: str,
    context: Mapping[str, Any],
    content: Content,
    subject: ObjectRef,
    tenant_id: UUID,
    decision_id: str,
    question: str = "",
    facts: Mapping[str, Any] | None = None,
    task_id: UUID | None = None,
    cause: str = OversightTask.Cause.HIGH_IMPACT,
) -> OversightTask:
    """Keep something sealed and put it before a person, who confirms or rejects it. Idempotent while that is open.

    `action` and `context` are those of the decision that the holder was admitted by. What the machine says stands
    nowhere but in the sealed content, because whoever asked may read the task. Raises TooLarge past 1 MiB and
    Conflict where a thousand of the tenant wait already.
    """
    if len(content.data) > MAX_BYTES:
        raise TooLarge(
            _("An answer that a person must confirm has at most %(limit)d bytes.") % {"limit": MAX_BYTES},
            hint=_("Ask about fewer rows at a time."),
        )
    waiting = Withheld.objects.filter(tenant_id=tenant_id, task__state__in=selectors.OPEN)
    if waiting.count() >= MAX_WAITING:
        raise Conflict(
            _("%(count)d answers wait for a person already.") % {"count": MAX_WAITING},
            hint=_("Have some of them confirmed or rejected first."),
        )
    said = {name: context[name] for name in ("purpose", "amount") if name in context}
    task = open_task(
        principal=SYSTEM,
        asker=holder,
        subject=subject,
        cause=cause,
        tenant_id=tenant_id,
        question=question or _asked_by_rule(tenant_id, subject, cause) or _("May this answer be given?"),
        options=YES_NO,
        decision_id=decision_id,
        facts={"asked by": holder.label, **said, **(facts or {})},
        task_id=task_id,
    )
    if not Withheld.objects.filter(task=task).exists():
        row = Withheld(
            tenant_id=tenant_id,
            task=task,
            action=action,
            holder_kind=holder.kind,
            holder_id=holder.id,
            context=said,
            content_type=content.content_type,
            json_bytes=content.json_bytes,
            expires_at=task.due_at + GRACE,
        )
        row.content = columns.sealed(row, "content", content.data, purpose=PURPOSE)
        row.save(force_insert=True)
    return task


@transaction.atomic
def run_once(
    *,
    holder: Principal,
    action: str,
    context: Mapping[str, Any],
    content: Content,
    subject: ObjectRef,
    tenant_id: UUID,
    question: str = "",
    facts: Mapping[str, Any] | None = None,
) -> OversightTask | None:
    """Whether a request may run now: None uses up a person's confirmation of this very request by this very principal.

    Otherwise the task that waits, which is opened where there is none. The subject's digest, what was said about the
    use, and the content's bytes make a request the same. Raises Rejected while a rejection is kept, and what `withhold`
    raises.
    """
    said = [holder.kind, holder.id, subject.type, subject.id, subject.digest, sorted(context.items())]
    number = sha256(repr(said).encode() + b"\0" + content.data).hexdigest()
    rows = Withheld.objects.select_for_update(of=("self",)).select_related("task")
    row = (
        rows.filter(tenant_id=tenant_id, task__decision_id=number, expires_at__gt=timezone.now())
        .exclude(content=None)
        .order_by("-id")
        .first()
    )
    if row is None:
        return withhold(
            holder=holder,
            action=action,
            context=context,
            content=content,
            subject=subject,
            tenant_id=tenant_id,
            decision_id=number,
            question=question,
            facts=facts,
        )
    try:
        check_confirmed(row)
    except WaitsForAPerson:
        return row.task
    row.content, row.used_at = None, timezone.now()
    row.save(update_fields=["content", "used_at"])
    record_step(row.task, "use", principal=holder)
    return None


@transaction.atomic
def fetch(*, principal: Principal, task_id: UUID) -> Content:
    """What was withheld from this very principal, once a person has confirmed it, as often as wanted until it expires.

    Raises WaitsForAPerson, Rejected, Lapsed, and NotFound for everybody else's.
    """
    own = Withheld.objects.filter(holder_kind=principal.kind, holder_id=principal.id, task_id=task_id)
    row = (
        own.select_related("task").filter(tenant_id=principal.tenant_id).first()
        if principal.tenant_id
        else None
    )
    if row is None:
        raise NotFound(_("Nothing of yours waits under this number."))
    decision = require(principal, row.action, row.task.subject, tenant_id=row.tenant_id, context=row.context)
    require_obligations(decision, fulfilled=fulfilled_by_confirming(decision.obligations))
    check_confirmed(row)
    record_step(row.task, "fetch", principal=principal)
    return _content(row)


def check_confirmed(row: Withheld) -> None:
    """Whether a person has confirmed it: the last decision counts. Raises WaitsForAPerson, Rejected or Lapsed."""
    task = row.task
    last = OversightTask.objects.filter(appeal_of=task, state=State.DECIDED).first() or task
    if last.state in selectors.OPEN:
        raise WaitsForAPerson(last)
    if last.state == State.DECIDED and last.answer != CONFIRM:
        raise Rejected(_("A person rejected it: %(reason)s") % {"reason": last.reason})
    if last.state != State.DECIDED or row.content is None or row.expires_at <= timezone.now():
        raise Lapsed(
            _("It was withdrawn, or nobody confirmed it in time, or it is kept no longer."),
            hint=_("Ask again from the beginning."),
        )


@transaction.atomic
def look_at(*, principal: Principal, task_id: UUID) -> Content | None:
    """What a task withholds, for whoever is to decide it and is not who asked; None where it withholds nothing.

    It is content like any other: the label of what answered decides what reading it takes.
    """
    task = OversightTask.objects.filter(pk=task_id).first()
    if task is None:
        raise NotFound(_("There is no such task."))
    require(principal, "oversight.task.decide", task, context=whose_matter(task, principal))
    row = Withheld.objects.filter(task_id=task.appeal_of_id or task.id, content__isnull=False).first()
    if row is None:
        return None
    require(principal, "oversight.answer.look", task.subject, tenant_id=task.tenant_id)
    record_step(task, "look", principal=principal)
    return _content(row)


def lapse_withheld() -> int:
    """End what is kept no longer: its content is erased, and a task that still waits has lapsed, which is a refusal.

    An answer that was given already is looked at however late, so its task stays open. Returns how many ended.
    """
    with platform_scope(), transaction.atomic():
        over = Withheld.objects.filter(expires_at__lte=timezone.now(), content__isnull=False)
        ids = list(over.order_by("expires_at").values_list("task_id", flat=True)[:500])
        # The task is locked before what it withholds, as a decision does it.
        tasks = OversightTask.objects.select_for_update(of=("self",)).filter(
            Q(pk__in=ids) | Q(appeal_of__in=ids)
        )
        open_tasks = [task for task in tasks.order_by("id") if task.state in selectors.OPEN]
        ended = set(over.filter(task_id__in=ids).values_list("task_id", flat=True))
        for task in open_tasks:
            if (task.appeal_of_id or task.id) in ended:
                move(task, OversightTask.State.LAPSED, SYSTEM)
                record_step(task, "lapse", principal=SYSTEM)
        return over.filter(task_id__in=ended).update(content=None)


def _asked_by_rule(tenant_id: UUID, subject: ObjectRef, cause: str) -> str:
    """What the rule that withholds asks; the rule says nothing about what is withheld for another cause."""
    if cause != OversightTask.Cause.LOW_CONFIDENCE:
        return ""
    rule = selectors.rule_for(tenant_id, subject.type, subject.id)
    return rule.question if rule else ""


def _content(row: Withheld) -> Content:
    data = columns.opened(row, "content", purpose=PURPOSE)
    return Content(data, row.content_type, row.json_bytes)
