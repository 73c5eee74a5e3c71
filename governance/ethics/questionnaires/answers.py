"""Checking answers: complete, of the right kind, and nothing kept that was not asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from governance.errors import InvalidInput
from governance.ethics.questionnaires.loading import (
    ACCEPTED,
    CURRENT,
    QUESTIONNAIRES,
    Question,
    Questionnaire,
)
from governance.ethics.questionnaires.logic import holds

MAX_ANSWER = 4000
MIN_ANSWER = 10


@dataclass(frozen=True, slots=True)
class Answers:
    """Complete, clean answers to one version."""

    questionnaire: Questionnaire
    given: Mapping[str, Any]

    @property
    def asked(self) -> list[Question]:
        """The questions that these answers lead to."""
        return [q for q in self.questionnaire.questions if q.when is None or holds(q.when, self.given)]


def checked(answers: dict[str, Any]) -> Answers:
    """The complete, clean answers; raises InvalidInput that names every question left open.

    Accepts `{"version": …, "answers": {…}}` or the answers to the current version alone. What was answered although
    it is not asked (its condition does not hold) is left out.
    """
    version, given = CURRENT.version, answers
    if isinstance(answers, dict) and isinstance(answers.get("answers"), dict):
        version, given = str(answers.get("version") or version), answers["answers"]
    questionnaire = QUESTIONNAIRES.get(version) if version in ACCEPTED else None
    if questionnaire is None or not isinstance(given, dict):
        raise InvalidInput(
            _("There is no questionnaire “%(version)s” to answer.") % {"version": version[:40]},
            hint=_("The present one is “%(version)s”.") % {"version": CURRENT.version},
        )
    clean: dict[str, Any] = {}
    errors = []
    for question in questionnaire.questions:
        if question.when is not None and not holds(question.when, clean):
            continue
        answer = given.get(question.id)
        if problem := _problem(question, answer):
            errors.append({"pointer": f"/questionnaire/{question.id}", "detail": problem})
        else:
            clean[question.id] = _clean(question, answer)
    if errors:
        raise InvalidInput(
            _("The ethics questionnaire is not complete."),
            code="questionnaire-incomplete",
            hint=_("Answer every question; the answers go to the ethics officer with your plugin."),
            errors=errors,
        )
    return Answers(questionnaire, clean)


def _clean(question: Question, answer: Any) -> Any:
    if question.kind == "text":
        return answer.strip()
    if question.kind == "multi-choice":
        return [option.id for option in question.options if option.id in answer]
    return answer


def _problem(question: Question, answer: Any) -> str:
    match question.kind:
        case "confirm":
            return "" if answer is True else _("This must be confirmed.")
        case "text":
            return _problem_of_text(answer)
        case "number":
            low, high = question.minimum, question.maximum
            fits = isinstance(answer, int) and not isinstance(answer, bool)
            if fits and low is not None and high is not None and low <= answer <= high:
                return ""
            return _("Answer with a whole number from %(low)s to %(high)s.") % {"low": low, "high": high}
        case "choice":
            fits = isinstance(answer, str) and answer in {option.id for option in question.options}
            return "" if fits else _("Choose one of: %(options)s.") % {"options": _ids(question)}
        case _:
            return _problem_of_choices(question, answer)


def _problem_of_text(answer: Any) -> str:
    if not isinstance(answer, str) or len(answer.strip()) < MIN_ANSWER:
        return _("Answer in at least %(count)d characters.") % {"count": MIN_ANSWER}
    if len(answer) > MAX_ANSWER:
        return _("Answer in at most %(count)d characters.") % {"count": MAX_ANSWER}
    return ""


def _problem_of_choices(question: Question, answer: Any) -> str:
    known = {option.id: option for option in question.options}
    if (
        not isinstance(answer, list)
        or not answer
        or not all(isinstance(a, str) and a in known for a in answer)
    ):
        return _("Choose at least one of: %(options)s.") % {"options": _ids(question)}
    alone = [name for name in answer if known[name].alone]
    if alone and len(set(answer)) > 1:
        return _("“%(option)s” cannot be chosen together with others.") % {"option": known[alone[0]].text}
    return ""


def _ids(question: Question) -> str:
    return ", ".join(option.id for option in question.options)
