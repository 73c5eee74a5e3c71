"""The oversight queue: a person decides what a machine may not decide alone, in time, and can be appealed against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.selectors import people_behind
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ids import uuid7
from governance.oversight import selectors
from governance.oversight.models import HumanLabel, OversightTask, Withheld
from governance.oversight.states import TASK_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

State = OversightTask.State
Cause = OversightTask.Cause
DUE = timedelta(hours=4)
MAX_FACTS = 50
MAX_OPEN = 10_000
CONFIRM, REJECT = YES_NO = ("confirm", "reject")
# How long after its deadline something withheld still waits, and how long it is kept once it was decided.
GRACE = timedelta(days=1)
KEPT = timedelta(days=7)

Guard = Callable[[Principal, OversightTask], None]
_guards: dict[str, Guard] = {}


def guard_answers(subject_type: str, guard: Guard) -> None:
    """Where an answer about such a subject does something there, `guard` raises AccessDenied for who may not do it."""
    _guards[subject_type] = guard


@transaction.atomic
def open_task(
    *,
    principal: Principal,
    subject: ObjectRef,
    cause: str,
    tenant_id: UUID,
    asker: Principal | None = None,
    question: str = "",
    options: Sequence[str] = (),
    proposed: str = "",
    decision_id: str = "",
    facts: Mapping[str, Any] | None = None,
    due_in: timedelta | None = None,
    task_id: UUID | None = None,
) -> OversightTask:
    """Put one decision before a person. Idempotent per subject, decision and cause while it is open.

    `proposed` is what the machine said; `facts` is what the person needs, and no more. Where they are not given, the
    question, the answers and the time come from the subject's rule. `asker` is whose matter it is, where that is not
    the principal: neither decides it.
    """
    require(principal, "oversight.task.open", subject, tenant_id=tenant_id)
    if cause not in Cause.values or cause == Cause.APPEAL:
        raise InvalidInput(
            _("“%(cause)s” is no cause for a task.") % {"cause": cause},
            hint=_("Choose one of: %(causes)s.")
            % {"causes": ", ".join(value for value in Cause.values if value != Cause.APPEAL)},
        )
    rule = selectors.rule_for(tenant_id, subject.type, subject.id)
    answers = options_of(options or (rule.options if rule else ()) or YES_NO)
    if len(facts or {}) > MAX_FACTS:
        raise InvalidInput(_("At most %(count)d facts fit on one task.") % {"count": MAX_FACTS})
    same = OversightTask.objects.filter(
        tenant_id=tenant_id,
        subject_type=subject.type,
        subject_id=subject.id,
        decision_id=decision_id[:64],
        cause=cause,
        state__in=selectors.OPEN,
    )
    if decision_id and (known := same.first()) is not None:
        return known
    if selectors.queue(tenant_id).count() >= MAX_OPEN:
        raise Conflict(
            _("More than %(count)d decisions wait for a person already.") % {"count": MAX_OPEN - 1},
            hint=_("Decide some of them, or make the rules that open them narrower."),
        )
    task = OversightTask(
        id=task_id or uuid7(),
        tenant_id=tenant_id,
        cause=cause,
        subject_type=subject.type,
        subject_id=subject.id,
        subject_label=subject.label[:200],
        subject_digest=subject.digest,
        decision_id=decision_id[:64],
        question=question or (rule.question if rule else "") or _("Is the answer right?"),
        options=answers,
        facts={str(name)[:100]: str(value)[:500] for name, value in (facts or {}).items()},
        proposed=str(proposed)[:200],
        opened_by_id=principal.accountable_user_id,
        asked_by_id=(asker or principal).accountable_user_id,
        due_at=timezone.now() + (due_in or (timedelta(minutes=rule.due_minutes) if rule else DUE)),
    )
    try:
        with transaction.atomic():
            task.save(force_insert=True)
    except IntegrityError:
        # Somebody else opened the same one since we looked.
        if not decision_id or (known := same.first()) is None:
            raise
        return known
    record_step(task, "open", principal=principal)
    return task


def contest(*, principal: Principal, subject: ObjectRef, decision_id: str, reason: str) -> OversightTask:
    """Put one decision of a machine before a person, because somebody contests it. Idempotent while that is open."""
    if principal.tenant_id is None:
        raise InvalidInput(_("A task belongs to an organisation; choose one."))
    if not decision_id.strip():
        raise InvalidInput(_("Give the number of the decision; it came with the machine's answer."))
    if len(reason.strip()) < 10:
        raise InvalidInput(_("Say in at least 10 characters what is wrong with the decision."))
    return open_task(
        principal=principal,
        subject=subject,
        cause=Cause.CONTESTED,
        tenant_id=principal.tenant_id,
        decision_id=decision_id.strip(),
        facts={_("contested because"): reason.strip()},
    )


@transaction.atomic
def claim_task(*, principal: Principal, task_id: UUID) -> OversightTask:
    """Say that one looks at it, so that nobody else does."""
    task = _for_decision(task_id, principal)
    if task.state == State.CLAIMED and task.claimed_by_id == principal.accountable_user_id:
        return task
    move(task, State.CLAIMED, principal)
    task.claimed_by_id = principal.accountable_user_id
    task.save(update_fields=["claimed_by"])
    return task


@transaction.atomic
def return_task(*, principal: Principal, task_id: UUID) -> OversightTask:
    """Give it back to the queue."""
    task = _locked(task_id)
    require(principal, "oversight.task.decide", task)
    move(task, State.OPEN, principal)
    task.claimed_by = None
    task.save(update_fields=["claimed_by"])
    return task


@transaction.atomic
def decide_task(*, principal: Principal, task_id: UUID, answer: str, reason: str) -> OversightTask:
    """The person's answer, which stands in the machine's place and flows back as a label.

    Nobody decides what they asked for, contested or appealed against themselves, and who decided the first time does
    not decide the appeal.
    """
    task = _for_decision(task_id, principal)
    if task.state == State.CLAIMED and task.claimed_by_id != principal.accountable_user_id:
        raise Conflict(
            _("Somebody else looks at this task now."), hint=_("Ask them to give it back, or choose another.")
        )
    if answer not in task.options:
        raise InvalidInput(
            _("“%(answer)s” is not among the possible answers.") % {"answer": answer[:80]},
            hint=_("Choose one of: %(options)s.") % {"options": ", ".join(task.options)},
        )
    if not reason.strip():
        raise InvalidInput(_("Give a reason; whom it concerns may ask for it."))
    move(task, State.DECIDED, principal)
    task.decided_by_id = principal.accountable_user_id
    task.decided_at = timezone.now()
    task.answer, task.reason = answer, reason.strip()
    task.save(update_fields=["decided_by", "decided_at", "answer", "reason"])
    _keep_withheld(task, task.decided_at + KEPT)
    if task.appeal_of_id:
        HumanLabel.objects.filter(task_id=task.appeal_of_id).update(in_force=False)
    HumanLabel.objects.create(
        tenant_id=task.tenant_id,
        task=task,
        subject_type=task.subject_type,
        subject_id=task.subject_id,
        decision_id=task.decision_id,
        proposed=task.proposed,
        label=answer,
        at=task.decided_at,
    )
    record_step(task, "decide", principal=principal, reason=task.reason, details={"answer": answer})
    return task


@transaction.atomic
def appeal(*, principal: Principal, task_id: UUID, reason: str) -> OversightTask:
    """Ask for a second person's decision about what a first one decided; once."""
    first = _locked(task_id)
    require(principal, "oversight.task.appeal", first)
    if first.state != State.DECIDED or first.appeal_of_id:
        raise Conflict(_("Only a first decision can be appealed against."))
    if len(reason.strip()) < 10:
        raise InvalidInput(_("Say in at least 10 characters what is wrong with the decision."))
    if (known := first.appeals.first()) is not None:
        return known
    task = OversightTask.objects.create(
        tenant_id=first.tenant_id,
        cause=Cause.APPEAL,
        subject_type=first.subject_type,
        subject_id=first.subject_id,
        subject_label=first.subject_label,
        subject_digest=first.subject_digest,
        decision_id=first.decision_id,
        question=first.question,
        options=first.options,
        facts=first.facts | {_("appeal"): reason.strip()[:500]},
        proposed=first.answer,
        opened_by_id=principal.accountable_user_id,
        asked_by_id=principal.accountable_user_id,
        due_at=timezone.now() + DUE,
        appeal_of=first,
    )
    _keep_withheld(task, task.due_at + GRACE)
    record_step(task, "appeal", principal=principal, reason=reason.strip())
    return task


@transaction.atomic
def withdraw_task(*, principal: Principal, task_id: UUID, reason: str) -> OversightTask:
    """Take back what one has opened oneself, or what is withheld from oneself; the latter is then never given.

    What the machine put before a person, because it was not sure, stays there whatever the asker wants.
    """
    task = _locked(task_id)
    require(principal, "oversight.task.open", task)
    mine = principal.accountable_user_id
    withheld = Withheld.objects.filter(task=task)
    if mine is None or not (task.opened_by_id == mine or (task.asked_by_id == mine and withheld.exists())):
        raise NotFound(_("There is no such task of yours."))
    move(task, State.WITHDRAWN, principal)
    withheld.update(content=None)
    record_step(task, "withdraw", principal=principal, reason=reason.strip()[:500])
    return task


@transaction.atomic
def take_back_question(*, task_id: UUID, reason: str) -> bool:
    """The platform takes back what it asked itself, because it was settled another way; whether it still waited."""
    task = OversightTask.objects.select_for_update(of=("self",)).filter(pk=task_id).first()
    if task is None or task.state not in selectors.OPEN or task.opened_by_id is not None:
        return False
    move(task, State.WITHDRAWN, SYSTEM)
    record_step(task, "withdraw", principal=SYSTEM, reason=reason[:500])
    return True


def escalate_overdue() -> int:
    """Tell the administrators about what nobody decided in time: once per task, with an entry in the audit log.

    Whoever sat on it has it no longer; the console's bar tells the tenant's administrators and the ethics office.
    """
    with platform_scope(), transaction.atomic():
        late = list(selectors.overdue().select_for_update(of=("self",), skip_locked=True)[:500])
        for task in late:
            if task.state == State.CLAIMED:
                move(task, State.OPEN, SYSTEM)
            task.claimed_by = None
            task.escalated_at = timezone.now()
            task.save(update_fields=["claimed_by", "escalated_at"])
            record_step(task, "escalate", principal=SYSTEM)
        return len(late)


def options_of(given: Sequence[str]) -> list[str]:
    """The possible answers, each once. Raises InvalidInput."""
    options = list(dict.fromkeys(str(option).strip()[:200] for option in given if str(option).strip()))
    if not 2 <= len(options) <= 50:
        raise InvalidInput(_("A task needs from 2 to 50 different possible answers."))
    return options


def _for_decision(task_id: UUID, principal: Principal) -> OversightTask:
    """The task, locked, for somebody who may decide it and whose own matter it is not."""
    task = _locked(task_id)
    require(principal, "oversight.task.decide", task, context=whose_matter(task, principal))
    if (guard := _guards.get(task.subject_type)) is not None:
        guard(principal, task)
    if task.appeal_of is not None and task.appeal_of.decided_by_id == principal.accountable_user_id:
        raise Conflict(
            _("You took the decision that is appealed against, so somebody else must decide."),
            code="own-decision",
        )
    return task


def whose_matter(task: OversightTask, principal: Principal) -> dict[str, str]:
    """The context of a decision to decide: who asked, contested or appealed, and who asked before the appeal.

    Where a program asked that acted for itself, whoever owns it now asked, or else whoever registered it.
    """
    first = task.appeal_of
    askers = [row.asked_by_id for row in (task, first) if row is not None and row.asked_by_id is not None]
    if not askers:
        return {}
    askers += people_behind(askers)
    mine = principal.accountable_user_id
    return {"requested_by": str(mine if mine in askers else askers[0])}


def _keep_withheld(task: OversightTask, until: datetime) -> None:
    """What a task, or the task that it appeals against, withholds is kept so long."""
    Withheld.objects.filter(task_id=task.appeal_of_id or task.id).update(expires_at=until)


def _locked(task_id: UUID) -> OversightTask:
    task = OversightTask.objects.select_for_update(of=("self",)).filter(pk=task_id).first()
    if task is None:
        raise NotFound(_("There is no such task."))
    return task


def move(task: OversightTask, target: str, principal: Principal) -> None:
    """One step of the state table."""
    TASK_STATES.check(task.state, target, principal.roles)
    task.state = target
    task.save(update_fields=["state"])


def record_step(
    task: OversightTask,
    action: str,
    *,
    principal: Principal,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """A step's entry in the audit log."""
    record(
        principal=principal,
        action=f"oversight.task.{action}",
        target=ObjectRef("oversight.oversighttask", str(task.id), label=task.subject_label),
        tenant_id=task.tenant_id,
        reason=reason,
        details={
            "cause": task.cause,
            "subject": task.subject_id,
            "decision": task.decision_id,
            **(details or {}),
        },
    )
