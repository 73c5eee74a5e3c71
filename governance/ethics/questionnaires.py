"""The questions that a provider of a high-risk use answers, as versioned data.

They follow what Regulation (EU) 2024/1689 (AI Act) asks of high-risk systems: Article 9 (risk management), 10 (data),
12 (records), 13 (transparency), 14 (human oversight), 15 (accuracy), 27 (fundamental rights) and, as a bar, Article 5.
A published version never changes, because approvals refer to it; a new set of questions is a new version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.errors import InvalidInput

MAX_ANSWER = 4000
MIN_ANSWER = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One question: `text` wants words, `confirm` wants a yes."""

    id: str
    text: str | Promise
    help: str | Promise
    kind: Literal["text", "confirm"] = "text"


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """A version of the questions."""

    version: str
    questions: tuple[Question, ...]


_AI_ACT = Questionnaire(
    "ai-act-1",
    (
        Question(
            "intended_use",
            gettext_lazy("What is it used for, by whom, and what is it not to be used for?"),
            gettext_lazy("Name the decision that it prepares or takes, and uses that you rule out."),
        ),
        Question(
            "affected_people",
            gettext_lazy("Who is affected by its answers, and how?"),
            gettext_lazy("Think of people who never see the system, and of groups that need protection."),
        ),
        Question(
            "data",
            gettext_lazy("On which data was it trained and evaluated, and whom do they not represent?"),
            gettext_lazy("Origin, period, size, known gaps and biases, and what was done about them."),
        ),
        Question(
            "accuracy",
            gettext_lazy("How accurate and robust is it, measured how, and where does it fail?"),
            gettext_lazy("Give figures per group where errors weigh differently."),
        ),
        Question(
            "human_oversight",
            gettext_lazy("Which person can understand, correct or stop it, and how?"),
            gettext_lazy("Say what that person sees and how long there is to step in."),
        ),
        Question(
            "risks",
            gettext_lazy("Which harm remains possible, and what keeps it small?"),
            gettext_lazy("Name the worst foreseeable outcome and the measure against it."),
        ),
        Question(
            "no_prohibited_practice",
            gettext_lazy(
                "We confirm that it is none of the practices that Article 5 of the AI Act prohibits."
            ),
            gettext_lazy("For example social scoring, or inferring emotions at work or in education."),
            kind="confirm",
        ),
    ),
)
QUESTIONNAIRES = {_AI_ACT.version: _AI_ACT}
CURRENT = _AI_ACT


def checked(answers: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The version and the complete, clean answers; raises InvalidInput that names every question left open.

    Accepts `{"version": …, "answers": {…}}` or the answers to the current version alone.
    """
    version, given = CURRENT.version, answers
    if isinstance(answers, dict) and isinstance(answers.get("answers"), dict):
        version, given = str(answers.get("version") or version), answers["answers"]
    questionnaire = QUESTIONNAIRES.get(version)
    if questionnaire is None or not isinstance(given, dict):
        raise InvalidInput(
            _("There is no questionnaire “%(version)s”.") % {"version": version},
            hint=_("The present one is “%(version)s”.") % {"version": CURRENT.version},
        )
    errors = [
        {"pointer": f"/questionnaire/{question.id}", "detail": problem}
        for question in questionnaire.questions
        if (problem := _problem(question, given.get(question.id)))
    ]
    if errors:
        raise InvalidInput(
            _("The ethics questionnaire is not complete."),
            code="questionnaire-incomplete",
            hint=_("Answer every question; the answers go to the ethics officer with your plugin."),
            errors=errors,
        )
    clean = {
        q.id: given[q.id] if q.kind == "confirm" else given[q.id].strip() for q in questionnaire.questions
    }
    return version, clean


def _problem(question: Question, answer: Any) -> str:
    if question.kind == "confirm":
        return "" if answer is True else _("This must be confirmed.")
    if not isinstance(answer, str) or len(answer.strip()) < MIN_ANSWER:
        return _("Answer in at least %(count)d characters.") % {"count": MIN_ANSWER}
    if len(answer) > MAX_ANSWER:
        return _("Answer in at most %(count)d characters.") % {"count": MAX_ANSWER}
    return ""
