"""The sentences of a submission's timeline, in one place: what happened, whose turn it is, what happens next."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from marketplace.review.models import Submission

State = Submission.State
Text = str | Promise

EVENTS: dict[str, Text] = {
    "uploaded": _("The archive arrived in quarantine."),
    "checking": _("The checks have started."),
    "retried": _("The checks that could not finish run again."),
    "checks_failed": _("A check refused this version."),
    "check_error": _("A check could not finish; that says nothing about the plugin."),
    "waiting_for_review": _("All checks have ended; the submission is in the reviewers' queue."),
    "claimed": _("A reviewer has begun to look at it."),
    "released": _("The reviewer put it back into the queue."),
    "waiting_for_publisher": _("The reviewer asks the publisher:"),
    "answered": _("The publisher answers:"),
    "verdict": _("A reviewer approves, with this note for the house:"),
    "second_review": _("The first reviewer approved; its risk is high, so a second one must agree."),
    "waiting_for_ethics": _("The reviewers approved; the ethics office has not decided yet."),
    "purpose_corrected": _(
        "A reviewer found another purpose, which is high-risk and needs an ethics approval:"
    ),
    "ethics_requested": _("The ethics questionnaire was answered and went to the ethics office."),
    "ethics_approved": _("The ethics office approved exactly this archive."),
    "ethics_refused": _("The ethics office refused."),
    "approved": _("Approved; signing and publishing start."),
    "publishing": _("It is being signed and put into the repository."),
    "publication_failed": _("Publishing did not succeed yet and is tried again:"),
    "published": _("Published: it was downloaded from the repository and its signature verified."),
    "rejected": _("Rejected:"),
    "withdrawn": _("The publisher withdrew it."),
    "blocked": _("The version was taken out of circulation:"),
}

PUBLISHER, REVIEWER, ETHICS, PLATFORM, NOBODY = "publisher", "reviewer", "ethics", "platform", "nobody"

TURNS: dict[str, str] = {
    State.UPLOADED: PLATFORM,
    State.CHECKING: PLATFORM,
    State.CHECKS_FAILED: PUBLISHER,
    State.CHECK_ERROR: PUBLISHER,
    State.WAITING_FOR_REVIEW: REVIEWER,
    State.IN_REVIEW: REVIEWER,
    State.WAITING_FOR_PUBLISHER: PUBLISHER,
    State.SECOND_REVIEW: REVIEWER,
    State.WAITING_FOR_ETHICS: ETHICS,
    State.APPROVED: PLATFORM,
    State.PUBLISHING: PLATFORM,
    State.PUBLISHED: NOBODY,
    State.REJECTED: NOBODY,
    State.WITHDRAWN: NOBODY,
}

NEXT: dict[str, Text] = {
    State.UPLOADED: _("The checks start in a moment."),
    State.CHECKING: _("The checks are running; that takes less than a minute."),
    State.CHECKS_FAILED: _("Correct what the findings name and upload the package again."),
    State.CHECK_ERROR: _("Run the check again; if it keeps failing, the platform's administrator sees why."),
    State.WAITING_FOR_REVIEW: _("A reviewer claims it, at the latest on the day it is due."),
    State.IN_REVIEW: _("The reviewer decides or asks a question."),
    State.WAITING_FOR_PUBLISHER: _("Answer the reviewer's question."),
    State.SECOND_REVIEW: _("A second, different reviewer claims it and decides."),
    State.WAITING_FOR_ETHICS: _("The ethics office decides; publication follows by itself."),
    State.APPROVED: _("It is signed and published in a moment."),
    State.PUBLISHING: _("It is called published as soon as it can be downloaded and verified."),
    State.PUBLISHED: _("Organisations can install it."),
    State.REJECTED: _("Read the reason; a corrected package can be uploaded again."),
    State.WITHDRAWN: _("Nothing more happens."),
}
NEXT_QUESTIONNAIRE = _("Answer the ethics questionnaire: the declared purpose is a high-risk one.")

ACTORS: dict[str, Text] = {
    PUBLISHER: _("Publisher"),
    REVIEWER: _("Review team"),
    ETHICS: _("Ethics office"),
    PLATFORM: _("OpenClaw"),
}
