"""How pages show a submission's states, checks and findings: colours, icons, and a headline with one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from marketplace.catalog.models import PluginVersion
from marketplace.review.models import CheckRun, Submission

State = Submission.State
Text = str | Promise


@dataclass(frozen=True, slots=True)
class StateWords:
    """How a state reads: colour, icon, headline, one sentence; `busy` while the platform itself works on it."""

    tone: str
    icon: str
    title: Text
    text: Text
    busy: bool = False


WORDS: dict[str, StateWords] = {
    State.UPLOADED: StateWords(
        "info", "hourglass_top", _("The upload has arrived"), _("The checks start in a moment."), busy=True
    ),
    State.CHECKING: StateWords(
        "info",
        "fact_check",
        _("The checks are running"),
        _("This takes seconds; a large model may take a minute."),
        busy=True,
    ),
    State.CHECKS_FAILED: StateWords(
        "bad",
        "block",
        _("A check refused this version"),
        _("Correct what the findings name and upload a new version. The number can be used again."),
    ),
    State.CHECK_ERROR: StateWords(
        "warn",
        "sync_problem",
        _("A check could not finish"),
        _("That says nothing about the plugin. Run the check again; if it fails again, tell the operator."),
    ),
    State.WAITING_FOR_REVIEW: StateWords(
        "info",
        "schedule",
        _("Waiting for a reviewer"),
        _("The checks are through. A reviewer takes it up by the due date."),
    ),
    State.IN_REVIEW: StateWords(
        "info", "rate_review", _("A reviewer is at work"), _("Questions appear on this page.")
    ),
    State.WAITING_FOR_PUBLISHER: StateWords(
        "warn",
        "question_answer",
        _("The reviewer has a question"),
        _("The review goes on once it is answered."),
    ),
    State.SECOND_REVIEW: StateWords(
        "info",
        "group",
        _("Waiting for a second reviewer"),
        _("The risk is high, so two people must agree. One has."),
    ),
    State.WAITING_FOR_ETHICS: StateWords(
        "violet",
        "balance",
        _("Waiting for the ethics office"),
        _("The reviewers agree. The declared purpose needs an ethics approval as well."),
    ),
    State.APPROVED: StateWords(
        "good", "verified", _("Approved"), _("Signing and publishing start in a moment."), busy=True
    ),
    State.PUBLISHING: StateWords(
        "good",
        "publish",
        _("Being signed and published"),
        _("It counts as published once it can be downloaded and verified."),
        busy=True,
    ),
    State.PUBLISHED: StateWords(
        "good",
        "task_alt",
        _("Published"),
        _("Every organisation finds it in the catalogue and can verify the download."),
    ),
    State.REJECTED: StateWords(
        "bad",
        "cancel",
        _("Rejected"),
        _("The reason is in the timeline. A corrected version can be uploaded under the same number."),
    ),
    State.WITHDRAWN: StateWords(
        "", "undo", _("Withdrawn"), _("The publisher took it back. The number can be used again.")
    ),
}

STEP_TONES = {
    "published": "good",
    "approved": "good",
    "ethics_approved": "good",
    "rejected": "bad",
    "checks_failed": "bad",
    "ethics_refused": "bad",
    "blocked": "bad",
    "publication_failed": "bad",
}
STATUS_TONES = {
    CheckRun.Status.PASSED: "good",
    CheckRun.Status.FLAGGED: "warn",
    CheckRun.Status.REJECTED: "bad",
    CheckRun.Status.ERROR: "bad",
}
RISK_TONES = {
    PluginVersion.Risk.LOW: "good",
    PluginVersion.Risk.MEDIUM: "warn",
    PluginVersion.Risk.HIGH: "bad",
}
SEVERITIES: dict[str, tuple[str, Text]] = {
    "critical": ("bad", _("must be corrected")),
    "warn": ("warn", _("a person looks at it")),
    "info": ("info", _("for your information")),
}
