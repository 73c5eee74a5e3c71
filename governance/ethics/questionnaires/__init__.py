"""The questions that a provider answers, as versioned data: what is asked, when, and what class of risk follows.

Each version is a file beside this module, checked against `questionnaire.schema.json` when it is read. A published
version never changes, because approvals refer to it (a test pins each digest); a new set of questions is a new file.
"""

from governance.ethics.questionnaires.answers import Answers, checked
from governance.ethics.questionnaires.forms import answers_from_form, form_of
from governance.ethics.questionnaires.loading import (
    ACCEPTED,
    CURRENT,
    QUESTIONNAIRES,
    Option,
    Question,
    Questionnaire,
    QuestionnaireError,
    Section,
    parse,
)
from governance.ethics.questionnaires.risk import CLASSES, Because, Risk, assess

__all__ = [
    "ACCEPTED",
    "CLASSES",
    "CURRENT",
    "QUESTIONNAIRES",
    "Answers",
    "Because",
    "Option",
    "Question",
    "Questionnaire",
    "QuestionnaireError",
    "Risk",
    "Section",
    "answers_from_form",
    "assess",
    "checked",
    "form_of",
    "parse",
]
