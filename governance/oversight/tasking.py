"""The oversight queue: a person decides what a machine may not decide alone, in time, and can be appealed against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ids import uuid7
from governance.oversight import selectors
from governance.oversight.models import HumanLabel, OversightRule, OversightTask
from governance.oversight.states import TASK_STATES
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

State = OversightTask.State
Cause = OversightTask.Cause
DUE = timedelta(hours=4)
MAX_FACTS = 50
MAX_OPEN = 10_000
YES_NO = ("confirm", "reject")


@transaction.atomic
def open_task(
    *,
    principal: Principal,
    subject: ObjectRef,
    cause: str,
    tenant_id: UUID,
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
    question, the answers and the time come from the subject's rule.
    """
    require(principal, "oversight.task.open", subject, tenant_id=tenant_id)
    if cause not in Cause.values or cause == Cause.APPEAL:
        raise InvalidInput(
            _("“%(cause)s” is no cause for a task.") % {"cause": cause},
            hint=_("Choose one of: %(causes)s.")
            % {"causes": ", ".join(value for value in Cause.values if value != Cause.APPEAL)},
        )
    rule = selectors.rule_for(tenant_id, subject.type, subject.id)
    answers = _options(options or (rule.options if rule else ()) or YES_NO)
    if len(facts or {}) > MAX_FACTS:
        raise InvalidInput(_("At most %(count)d facts fit on one task.") % {"count": MAX_FACTS})
    if decision_id:
        same = OversightTask.objects.filter(
            tenant_id=tenant_id,
            subject_type=subject.type,
            subject_id=subject.id,
            decision_id=decision_id,
            cause=cause,
            state__in=selectors.OPEN,
        ).first()
        if same is not None:
            return same
    if selectors.queue(tenant_id).count() >= MAX_OPEN:
        raise Conflict(
            _("More than %(count)d decisions wait for a person already.") % {"count": MAX_OPEN - 1},
            hint=_("Decide some of them, or make the rules that open them narrower."),
        )
    task = OversightTask.objects.create(
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
        due_at=timezone.now() + (due_in or (timedelta(minutes=rule.due_minutes) if rule else DUE)),
    )
    _record(task, "open", principal=principal)
    return task


@transaction.atomic
def claim_task(*, principal: Principal, task_id: UUID) -> OversightTask:
    """Say that one looks at it, so that nobody else does."""
    task = _locked(task_id)
    require(principal, "oversight.task.decide", task)
    _check_other_person(task, principal)
    if task.state == State.CLAIMED and task.claimed_by_id == principal.accountable_user_id:
        return task
    _move(task, State.CLAIMED, principal)
    task.claimed_by_id = principal.accountable_user_id
    task.save(update_fields=["claimed_by"])
    return task


@transaction.atomic
def return_task(*, principal: Principal, task_id: UUID) -> OversightTask:
    """Give it back to the queue."""
    task = _locked(task_id)
    require(principal, "oversight.task.decide", task)
    _move(task, State.OPEN, principal)
    task.claimed_by = None
    task.save(update_fields=["claimed_by"])
    return task


@transaction.atomic
def decide_task(*, principal: Principal, task_id: UUID, answer: str, reason: str) -> OversightTask:
    """The person's answer, which stands in the machine's place and flows back as a label.

    Who decided the first time does not decide the appeal.
    """
    task = _locked(task_id)
    require(principal, "oversight.task.decide", task)
    _check_other_person(task, principal)
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
    _move(task, State.DECIDED, principal)
    task.decided_by_id = principal.accountable_user_id
    task.decided_at = timezone.now()
    task.answer, task.reason = answer, reason.strip()
    task.save(update_fields=["decided_by", "decided_at", "answer", "reason"])
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
    _record(task, "decide", principal=principal, reason=task.reason, details={"answer": answer})
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
        due_at=timezone.now() + DUE,
        appeal_of=first,
    )
    _record(task, "appeal", principal=principal, reason=reason.strip())
    return task


@transaction.atomic
def withdraw_task(*, principal: Principal, task_id: UUID, reason: str) -> OversightTask:
    """Take back what one has opened oneself."""
    task = _locked(task_id)
    require(principal, "oversight.task.open", task)
    if task.opened_by_id != principal.accountable_user_id:
        raise NotFound(_("There is no such task of yours."))
    _move(task, State.WITHDRAWN, principal)
    _record(task, "withdraw", principal=principal, reason=reason)
    return task


def escalate_overdue() -> int:
    """Tell the administrators about what nobody decided in time: once per task, with an entry in the audit log."""
    with platform_scope(), transaction.atomic():
        late = list(selectors.overdue().select_for_update(of=("self",), skip_locked=True)[:500])
        for task in late:
            task.escalated_at = timezone.now()
            task.save(update_fields=["escalated_at"])
            _record(task, "escalate", principal=SYSTEM)
        return len(late)


@transaction.atomic
def save_rule(
    *,
    principal: Principal,
    target: ObjectRef,
    tenant_id: UUID,
    question: str,
    options: Sequence[str],
    confidence_below: float | None,
    output: str,
    due_minutes: int,
) -> OversightRule:
    """Say when an endpoint's or skill's answers go to a person."""
    require(principal, "oversight.rule.manage", target, tenant_id=tenant_id)
    if confidence_below is not None and not 0 <= confidence_below <= 1:
        raise InvalidInput(_("A confidence is a number from 0 to 1."))
    if not 1 <= due_minutes <= 30 * 24 * 60:
        raise InvalidInput(_("The time to decide is from one minute to thirty days."))
    if not question.strip():
        raise InvalidInput(_("Say what the person is asked."))
    if confidence_below is not None and target.type != "rollouts.endpoint":
        raise InvalidInput(_("Only an endpoint's answers have a confidence."))
    rule, _created = OversightRule.objects.update_or_create(
        tenant_id=tenant_id,
        target_type=target.type,
        target_id=target.id,
        defaults={
            "target_label": target.label[:200],
            "question": question.strip()[:500],
            "options": _options(options or YES_NO),
            "confidence_below": confidence_below,
            "output": output,
            "due_minutes": due_minutes,
        },
    )
    announce("policy", str(tenant_id))
    record(
        principal=principal,
        action="oversight.rule.save",
        target=target,
        tenant_id=tenant_id,
        details={"confidence_below": str(confidence_below), "due_minutes": due_minutes},
    )
    return rule


@transaction.atomic
def remove_rule(*, principal: Principal, rule_id: UUID) -> None:
    """From now on the endpoint's or skill's answers go to nobody by themselves."""
    rule = OversightRule.objects.select_for_update(of=("self",)).filter(pk=rule_id).first()
    if rule is None:
        raise NotFound(_("There is no such rule."))
    require(principal, "oversight.rule.manage", rule)
    announce("policy", str(rule.tenant_id))
    record(
        principal=principal,
        action="oversight.rule.remove",
        target=ObjectRef(rule.target_type, rule.target_id, label=rule.target_label),
        tenant_id=rule.tenant_id,
    )
    rule.delete()


def _options(given: Sequence[str]) -> list[str]:
    options = list(dict.fromkeys(str(option).strip()[:200] for option in given if str(option).strip()))
    if not 2 <= len(options) <= 50:
        raise InvalidInput(_("A task needs from 2 to 50 different possible answers."))
    return options


def _check_other_person(task: OversightTask, principal: Principal) -> None:
    first = task.appeal_of
    if first is not None and first.decided_by_id == principal.accountable_user_id:
        raise Conflict(
            _("You took the decision that is appealed against, so somebody else must decide."),
            code="own-decision",
        )


def _locked(task_id: UUID) -> OversightTask:
    task = OversightTask.objects.select_for_update(of=("self",)).filter(pk=task_id).first()
    if task is None:
        raise NotFound(_("There is no such task."))
    return task


def _move(task: OversightTask, target: str, principal: Principal) -> None:
    TASK_STATES.check(task.state, target, principal.roles)
    task.state = target
    task.save(update_fields=["state"])


def _record(
    task: OversightTask,
    action: str,
    *,
    principal: Principal,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
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
