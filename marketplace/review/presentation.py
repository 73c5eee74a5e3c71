"""A submission as pages show it: one plain value for the portal and the workbench."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.access.decisions import decide
from governance.principals import Principal, Role
from marketplace.catalog.findings import Finding as CheckFinding
from marketplace.catalog.models import PluginVersion
from marketplace.review import page_words, selectors
from marketplace.review.models import CheckRun, ReviewDecision, Submission, SubmissionEvent

State = Submission.State
Kind = SubmissionEvent.Kind
TURNS: dict[str, Promise] = {
    "publisher": gettext_lazy("Publisher"),
    "reviewer": gettext_lazy("Reviewer"),
    "ethics": gettext_lazy("Ethics office"),
    "platform": gettext_lazy("Platform"),
}
WITHDRAWABLE = (
    State.UPLOADED,
    State.CHECKING,
    State.CHECK_ERROR,
    State.WAITING_FOR_REVIEW,
    State.IN_REVIEW,
    State.WAITING_FOR_PUBLISHER,
    State.SECOND_REVIEW,
    State.WAITING_FOR_ETHICS,
)
CLAIMABLE = (State.WAITING_FOR_REVIEW, State.SECOND_REVIEW)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check's outcome."""

    name: str
    title: str
    label: str
    tone: str
    busy: bool
    message: str
    duration: str
    can_retry: bool


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding in the reader's language."""

    code: str
    check: str
    severity: str
    tone: str
    message: str
    where: str
    evidence: str


@dataclass(frozen=True, slots=True)
class StepRow:
    """One line of the timeline."""

    label: str
    tone: str
    actor: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message of the conversation."""

    author: str
    at: datetime
    text: str
    mine: bool


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One reviewer's verdict."""

    label: str
    tone: str
    actor: str
    reason: str
    at: datetime


@dataclass(slots=True)
class SubmissionPage:
    """Everything a page says about one submission."""

    id: UUID
    title: str
    filename: str
    size_bytes: int
    digest: str
    partner: str
    created_at: datetime
    due_at: datetime | None
    overdue: bool
    state: str
    label: str
    tone: str
    icon: str
    busy: bool
    turn: str
    my_turn: bool
    turn_title: str
    turn_text: str
    next_step: str
    risk_label: str
    risk_tone: str
    risk_reasons: list[str]
    reviewer: str
    url: str
    review_url: str
    can_claim: bool = False
    can_release: bool = False
    can_decide: bool = False
    can_ask: bool = False
    can_answer: bool = False
    can_withdraw: bool = False
    needs_second: bool = False
    needs_questionnaire: bool = False
    ethics_approval_id: UUID | None = None
    checks: list[CheckRow] = field(default_factory=list)
    checks_summary: str = ""
    findings: list[FindingRow] = field(default_factory=list)
    timeline: list[StepRow] = field(default_factory=list)
    conversation: list[MessageRow] = field(default_factory=list)
    decisions: list[DecisionRow] = field(default_factory=list)


def listed(rows: QuerySet[Submission]) -> QuerySet[Submission]:
    """With what `summary` needs: no further query per row."""
    return rows.select_related("tenant", "claimed_by", "version").prefetch_related(
        Prefetch("decisions", ReviewDecision.objects.only("id", "submission_id", "reviewer_id", "approve"))
    )


def summary(submission: Submission, principal: Principal) -> SubmissionPage:
    """A submission as one row of a list; `submission` comes from `listed`."""
    words = page_words.WORDS[submission.state]
    publisher = principal.has_role(Role.PARTNER)
    me = principal.accountable_user_id
    claim_runs = bool(submission.claim_expires_at and submission.claim_expires_at > timezone.now())
    decided_by_me = any(decision.reviewer_id == me for decision in submission.decisions.all())
    free = submission.state in CLAIMABLE or (
        submission.state == State.IN_REVIEW and not claim_runs and submission.claimed_by_id != me
    )
    mine = submission.state == State.IN_REVIEW and submission.claimed_by_id == me
    reviews = (
        decide(principal, "review.submission.claim", submission).allow and submission.uploaded_by_id != me
    )
    turn, next_step = selectors.turn_of(submission)
    return SubmissionPage(
        id=submission.id,
        title=str(submission),
        filename=submission.filename,
        size_bytes=submission.size_bytes,
        digest=submission.sha256,
        partner=submission.tenant.name,
        created_at=submission.created_at,
        due_at=submission.due_at if submission.state in (*CLAIMABLE, State.IN_REVIEW) else None,
        overdue=bool(submission.due_at and submission.due_at < timezone.now()),
        state=submission.state,
        label=str(submission.get_state_display()),
        tone=words.tone,
        icon=words.icon,
        busy=words.busy,
        turn=_("You") if publisher and turn == "publisher" else str(TURNS.get(turn, "–")),
        my_turn=turn == ("publisher" if publisher else "reviewer"),
        turn_title=str(words.title),
        turn_text=str(words.text),
        next_step=next_step,
        risk_label=str(submission.get_risk_level_display()) if submission.risk_level else "",
        risk_tone=page_words.RISK_TONES.get(PluginVersion.Risk(submission.risk_level), "")
        if submission.risk_level
        else "",
        risk_reasons=[CheckFinding.from_json(reason).text(_) for reason in submission.risk_reasons],
        reviewer=submission.claimed_by.get_username() if submission.claimed_by else "",
        url=reverse("partner-submission", args=[submission.id]),
        review_url=reverse("review-submission", args=[submission.id]),
        can_claim=reviews and free and not decided_by_me,
        can_release=reviews and mine,
        can_decide=reviews and mine and not decided_by_me,
        can_ask=reviews and mine,
        can_answer=publisher and submission.state == State.WAITING_FOR_PUBLISHER,
        can_withdraw=publisher and submission.state in WITHDRAWABLE,
        needs_second=submission.approvals_needed > 1
        and not any(d.approve for d in submission.decisions.all()),
    )


def present(submission: Submission, principal: Principal) -> SubmissionPage:
    """Everything about one submission. A publisher sees what is meant for publishers, and reviewers without a name."""
    view = summary(submission, principal)
    publisher = principal.has_role(Role.PARTNER)
    retry = (
        submission.state == State.CHECK_ERROR
        and decide(principal, "review.submission.retry", submission).allow
    )
    seen = selectors.view_of(submission, principal=principal)
    view.needs_questionnaire = publisher and seen.ethics.state == "questionnaire_missing"
    view.ethics_approval_id = seen.ethics.approval_id if publisher else None
    view.checks = [_check(check, retry) for check in seen.checks]
    done = sum(check.state == CheckRun.State.DONE for check in seen.checks)
    view.checks_summary = _("%(done)d of %(all)d finished") % {"done": done, "all": len(seen.checks)}
    view.findings = sorted(
        (_finding(check, finding) for check in seen.checks for finding in check.findings),
        key=lambda finding: ("bad", "warn", "info").index(finding.tone),
    )
    for step in seen.timeline:
        tone = page_words.STEP_TONES.get(step.code, "")
        view.timeline.append(StepRow(step.text, tone, step.actor, step.at, step.message))
        if step.kind in (Kind.QUESTION, Kind.ANSWER):
            mine = (step.kind == Kind.ANSWER) == publisher
            view.conversation.append(MessageRow(step.actor, step.at, step.message, mine))
    if not publisher:
        for decision in submission.decisions.select_related("reviewer").order_by("decided_at"):
            view.decisions.append(
                DecisionRow(
                    label=_("approved") if decision.approve else _("rejected"),
                    tone="good" if decision.approve else "bad",
                    actor=decision.reviewer.get_username(),
                    reason=decision.reason,
                    at=decision.decided_at,
                )
            )
    return view


def _check(check: selectors.CheckView, retry: bool) -> CheckRow:
    busy = check.state != CheckRun.State.DONE
    label = CheckRun.State(check.state).label if busy else CheckRun.Status(check.status).label
    return CheckRow(
        name=check.name,
        title=check.title,
        label=str(label),
        tone="info" if busy else page_words.STATUS_TONES[CheckRun.Status(check.status)],
        busy=busy,
        message=check.message or check.summary,
        duration="" if check.duration_ms is None else f"{check.duration_ms / 1000:.1f} s",
        can_retry=retry and check.status == CheckRun.Status.ERROR,
    )


def _finding(check: selectors.CheckView, finding: selectors.FindingView) -> FindingRow:
    tone, severity = page_words.SEVERITIES.get(finding.severity, ("info", finding.severity))
    return FindingRow(
        code=finding.code,
        check=check.title,
        severity=str(severity),
        tone=tone,
        message=finding.message,
        where=finding.path + (f":{finding.line}" if finding.line else ""),
        evidence=finding.evidence,
    )


def asks_of(manifest: dict[str, Any], permissions: list[str]) -> dict[str, Any]:
    """What a plugin version is and asks for, from its manifest."""
    ours = manifest.get("extensions", {}).get("dev.openclaw", {})
    return {
        "description": manifest.get("description", ""),
        "license": manifest.get("license", ""),
        "purpose": ours.get("purpose", ""),
        "data_labels": ours.get("data_labels", []),
        "models": [
            {"name": m.get("name"), "format": m.get("format"), "signature": _signature(m)}
            for m in ours.get("models", [])
        ],
        "skills": [
            {"name": s.get("name"), "timeout_s": s.get("timeout_s"), "memory_mb": s.get("memory_mb")}
            for s in ours.get("skills", [])
        ],
        "permissions": permissions,
    }


def _signature(model: dict[str, Any]) -> str:
    def tensors(key: str) -> str:
        return ", ".join(f"{t.get('name')} {t.get('datatype')}{t.get('shape')}" for t in model.get(key, []))

    return f"{tensors('inputs')} → {tensors('outputs')}"
