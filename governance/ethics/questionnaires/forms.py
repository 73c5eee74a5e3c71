"""The questionnaire as an HTML form: what the template shows, and the answers that a browser sent back."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict

from governance.ethics.questionnaires.loading import CURRENT, Question, Questionnaire

PREFIX = "q-"


def form_of(sent: QueryDict | dict[str, Any], questionnaire: Questionnaire = CURRENT) -> list[dict[str, Any]]:
    """Sections with their questions as `ethics/questions.html` shows them, filled with what was sent."""
    return [
        {"title": section.title, "questions": [_field(question, sent) for question in section.questions]}
        for section in questionnaire.sections
    ]


def answers_from_form(sent: QueryDict, questionnaire: Questionnaire = CURRENT) -> dict[str, Any] | None:
    """The answers in the API's form; None when every field was left empty."""
    given = {question.id: _answer(question, sent) for question in questionnaire.questions}
    if not any(answer not in ("", [], False, None) for answer in given.values()):
        return None
    return {"version": questionnaire.version, "answers": given}


def _values(question: Question, sent: QueryDict | dict[str, Any]) -> list[str]:
    name = PREFIX + question.id
    if isinstance(sent, QueryDict):
        return sent.getlist(name)
    return [str(sent[name])] if sent.get(name) else []


def _field(question: Question, sent: QueryDict | dict[str, Any]) -> dict[str, Any]:
    values = _values(question, sent)
    return {
        "id": question.id,
        "name": PREFIX + question.id,
        "kind": question.kind,
        "text": question.text,
        "help": question.help,
        "when": json.dumps(question.when) if question.when else "",
        "answer": values[0] if values else "",
        "options": [
            {"id": o.id, "text": o.text, "alone": o.alone, "chosen": o.id in values} for o in question.options
        ],
        "minimum": question.minimum,
        "maximum": question.maximum,
        "clauses": question.clauses,
    }


def _answer(question: Question, sent: QueryDict) -> Any:
    values = [value.strip() for value in sent.getlist(PREFIX + question.id) if value.strip()]
    match question.kind:
        case "confirm":
            return bool(values)
        case "multi-choice":
            return values
        case "number":
            text = values[0] if values else ""
            return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text
        case _:
            return values[0] if values else ""
