"""Reading submissions: the queue, the timeline with whose turn it is, and the checks with their findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import NotFound
from governance.ethics.models import Approval
from governance.ethics.selectors import latest_for
from governance.principals import PLATFORM_ROLES, Principal
from governance.tenants.context import platform_scope
from marketplace.catalog.findings import Finding as CheckFinding
from marketplace.catalog.models import PluginVersion
from marketplace.review import sentences
from marketplace.review.checks.registry import CHECKS
from marketplace.review.models import CheckRun, Finding, Submission, SubmissionEvent
from marketplace.review.states import QUEUE

State = Submission.State
TITLES = {check.name: check for check in CHECKS}


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One thing that happened, in words for the reader. `side` is publisher, reviewer, ethics or platform."""

    id: UUID
    at: datetime
    kind: str
    code: str
    text: str
    message: str
    actor: str
    side: str
    from_state: str
    to_state: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding in the reader's language."""

    code: str
    severity: str
    message: str
    path: str
    line: int | None
    evidence: str


@dataclass(frozen=True, slots=True)
class CheckView:
    """A check run as people read it. `status` is empty until it has ended; `state` is queued, running or done."""

    name: str
    title: str
    summary: str
    state: str
    status: str
    message: str
    enforced: bool
    required: bool
    attempts: int
    duration_ms: int | None
    findings: list[FindingView]
    measures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EthicsView:
    """Where the ethics approval stands: not_needed, questionnaire_missing, or the approval's state."""

    needed: bool
    state: str
    reason: str = ""
    approval_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SubmissionView:
    """A submission with all that one page or one API answer shows of it."""

    submission: Submission
    whose_turn: str
    next_step: str
    timeline: list[TimelineStep]
    checks: list[CheckView]
    ethics: EthicsView
    overdue: bool


def submissions() -> QuerySet[Submission]:
    """The submissions that row security shows, the newest first."""
    return Submission.objects.select_related("version", "claimed_by", "tenant").order_by("-id")


def find_submission(submission_id: UUID) -> Submission:
    """One submission that row security shows. Raises NotFound."""
    submission = submissions().filter(pk=submission_id).first()
    if submission is None:
        raise NotFound(_("There is no such submission."))
    return submission


def get_submission(*, principal: Principal, submission_id: UUID) -> Submission:
    """One submission that the principal may see. Raises NotFound."""
    submission = find_submission(submission_id)
    require(principal, "review.submission.view", submission)
    return submission


def queue(*, principal: Principal) -> QuerySet[Submission]:
    """What reviewers can work on, due first; never one's own uploads."""
    require(principal, "review.submission.claim")
    return (
        submissions()
        .filter(state__in=QUEUE)
        .exclude(uploaded_by_id=principal.accountable_user_id)
        .order_by(F("due_at").asc(nulls_last=True), "id")
    )


def counts_by_state() -> list[tuple[str, int]]:
    """(state, number) in the order of a submission's life; states without submissions are left out."""
    rows = dict(Submission.objects.order_by().values_list("state").annotate(n=Count("id")))
    return [(state, rows[state]) for state in State.values if state in rows]


def view_of(submission: Submission, *, principal: Principal) -> SubmissionView:
    """The submission for this reader: publishers do not see the house's own notes, names or measurements."""
    inside = not principal.roles.isdisjoint(PLATFORM_ROLES)
    ethics = ethics_of(submission)
    turn, step = _turn(submission, ethics)
    return SubmissionView(
        submission=submission,
        whose_turn=turn,
        next_step=step,
        timeline=list(timeline(submission, inside=inside)),
        checks=checks_of(submission, inside=inside),
        ethics=ethics,
        overdue=bool(submission.due_at and submission.due_at < timezone.now() and submission.state in QUEUE),
    )


def turn_of(submission: Submission) -> tuple[str, str]:
    """(whose turn, what happens next) of one submission."""
    return _turn(submission, ethics_of(submission))


def _turn(submission: Submission, ethics: EthicsView) -> tuple[str, str]:
    unanswered = ethics.state == "questionnaire_missing"
    if unanswered and submission.state in (*QUEUE, State.WAITING_FOR_ETHICS):
        return sentences.PUBLISHER, str(sentences.NEXT_QUESTIONNAIRE)
    return sentences.TURNS[submission.state], str(sentences.NEXT[submission.state])


def ethics_of(submission: Submission) -> EthicsView:
    """Whether the ethics office must agree, and where that stands."""
    if not submission.needs_ethics:
        return EthicsView(needed=False, state="not_needed")
    approval = latest_for(submission.ref)
    if approval is None or approval.state in (Approval.State.VOID, Approval.State.EXPIRED):
        return EthicsView(needed=True, state="questionnaire_missing")
    return EthicsView(needed=True, state=approval.state, reason=approval.reason, approval_id=approval.id)


def timeline(submission: Submission, *, inside: bool) -> Iterator[TimelineStep]:
    """Every step from the first on. `inside`: the reader belongs to the house and sees names and notes."""
    events = submission.events.all() if inside else submission.events.filter(publisher_visible=True)
    for event in events:
        yield TimelineStep(
            id=event.id,
            at=event.at,
            kind=event.kind,
            code=event.code,
            text=_sentence(event),
            message=event.message,
            actor=_actor(event, inside=inside),
            side=event.actor_side,
            from_state=event.from_state,
            to_state=event.to_state,
        )


def _sentence(event: SubmissionEvent) -> str:
    text = str(sentences.EVENTS.get(event.code, event.code))
    if names := event.params.get("checks"):
        titles = ", ".join(_(TITLES[n].title) if n in TITLES else str(n) for n in names)
        return f"{text} ({titles})"
    return text


def _actor(event: SubmissionEvent, *, inside: bool) -> str:
    if event.actor_side == sentences.PLATFORM or (not inside and event.actor_side != sentences.PUBLISHER):
        return str(sentences.ACTORS[event.actor_side])
    return event.actor_label


def checks_of(submission: Submission, *, inside: bool) -> list[CheckView]:
    """The check runs in reading order, with findings in the reader's language."""
    runs = submission.check_runs.order_by("position").prefetch_related(
        Prefetch("findings", Finding.objects.order_by("position"))
    )
    return [_check(run, inside=inside) for run in runs]


def _check(run: CheckRun, *, inside: bool) -> CheckView:
    check = TITLES.get(run.name)
    message = _(run.message) if run.message else ""
    return CheckView(
        name=run.name,
        title=_(check.title) if check else run.name,
        summary=_(check.summary) if check else "",
        state=run.state,
        status=run.status,
        message=message % run.params if message and run.params else message,
        enforced=run.enforced,
        required=run.required,
        attempts=run.attempts,
        duration_ms=run.duration_ms,
        findings=[finding_view(f) for f in run.findings.all()],
        measures=run.measures if inside else {},
    )


def finding_view(row: Finding) -> FindingView:
    """A stored finding with its template translated and filled in."""
    finding = CheckFinding.from_json(
        {"code": row.code, "severity": row.severity, "message": row.message, "params": row.params}
    )
    return FindingView(
        code=row.code,
        severity=row.severity,
        message=finding.text(_),
        path=row.path,
        line=row.line,
        evidence=row.evidence,
    )


def outcome_counts(checks: list[CheckView]) -> Counter[str]:
    """How many checks ended how."""
    return Counter(check.status or check.state for check in checks)


def decisions_of(submission: Submission) -> QuerySet[Any]:
    """The verdicts so far, for the house."""
    return submission.decisions.select_related("reviewer").order_by("decided_at")


def needs_ethics(version: PluginVersion) -> bool:
    """Whether what a published version brings needs an ethics approval, by its manifest or by its reviewers."""
    with platform_scope(), transaction.atomic():
        return Submission.objects.filter(pk=version.submission_id, needs_ethics=True).exists()
