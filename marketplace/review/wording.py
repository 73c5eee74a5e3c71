"""What the API says about a submission: whose turn it is, what happens next, and each step in a sentence."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from marketplace.review.models import Submission

State = Submission.State
PUBLISHER, REVIEWER, ETHICS, PLATFORM, NOBODY = "publisher", "reviewer", "ethics", "platform", "nobody"

TURNS = {
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
    State.REJECTED: PUBLISHER,
    State.WITHDRAWN: NOBODY,
}
NEXT_QUESTIONNAIRE = _("Answer the questionnaire about the high-risk purpose; the ethics office needs it.")
NEXT = {
    State.UPLOADED: _("The checks start in a moment."),
    State.CHECKING: _("When all checks have passed, a reviewer looks at it."),
    State.CHECKS_FAILED: _(
        "Correct what the findings name and upload again; the version number can be used again."
    ),
    State.CHECK_ERROR: _("A check could not finish, which says nothing about the plugin. Run it again."),
    State.WAITING_FOR_REVIEW: _("A reviewer takes it up by the due date."),
    State.IN_REVIEW: _("The reviewer decides, or asks you something."),
    State.WAITING_FOR_PUBLISHER: _("Answer the reviewer's question; then the review goes on."),
    State.SECOND_REVIEW: _("The risk is high, so a second reviewer must agree."),
    State.WAITING_FOR_ETHICS: _("The ethics office decides about the declared purpose."),
    State.APPROVED: _("It is being handed over for signing."),
    State.PUBLISHING: _("It is signed, and counts as published once it can be downloaded and verified."),
    State.PUBLISHED: _("Organisations can install it."),
    State.REJECTED: _("Read the reason, change the plugin and upload a new version."),
    State.WITHDRAWN: _("Nothing more happens; the version number can be used again."),
}
EVENTS = {
    "uploaded": _("The package was uploaded."),
    "checking": _("The checks began."),
    "retried": _("Checks that had ended in an error were run again."),
    "checks_failed": _("A check refused the package."),
    "check_error": _("A check could not finish."),
    "waiting_for_review": _("The checks passed; it is in the reviewers' queue."),
    "claimed": _("A reviewer took it up."),
    "released": _("The reviewer put it back into the queue."),
    "in_review": _("The review goes on."),
    "waiting_for_publisher": _("The reviewer asked a question."),
    "answered": _("The publisher answered."),
    "verdict": _("A reviewer wrote down a verdict."),
    "second_review": _("A first reviewer approved; a second one must agree."),
    "waiting_for_ethics": _("The reviewers approved; the ethics office must agree."),
    "ethics_requested": _("An ethics approval was asked for."),
    "ethics_approved": _("The ethics office approved exactly these bytes."),
    "ethics_refused": _("The ethics office refused."),
    "approved": _("Everything that had to be approved is."),
    "publishing": _("Signing and publishing began."),
    "publication_failed": _("Publishing did not succeed yet and will be tried again."),
    "published": _("It was published: downloaded and verified as any organisation would."),
    "rejected": _("It was rejected."),
    "withdrawn": _("The publisher withdrew it."),
    "blocked": _("The published version was blocked."),
}
ACTORS = {
    PUBLISHER: _("Publisher"),
    REVIEWER: _("Reviewer"),
    ETHICS: _("Ethics office"),
    PLATFORM: _("OpenClaw"),
}
