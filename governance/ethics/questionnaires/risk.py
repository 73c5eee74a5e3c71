"""The class of risk that follows from answers, with the rules of the data that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.ethics.questionnaires.loading import QUESTIONNAIRES, Questionnaire, Words
from governance.ethics.questionnaires.logic import holds

# From the mildest to the strictest; the strictest rule that applies decides.
CLASSES = ("minimal", "limited", "high", "prohibited")


@dataclass(frozen=True, slots=True)
class Because:
    """One rule that applied: its sentence (`str()` is in the reader's language) and the article it follows."""

    rule: str
    risk_class: str
    article: str
    sentence: Words

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready form, with the sentence in English."""
        return {
            "rule": self.rule,
            "class": self.risk_class,
            "article": self.article,
            "because": self.sentence.by_language["en"],
        }


@dataclass(frozen=True, slots=True)
class Risk:
    """A class and every rule that applied, the strictest first."""

    risk_class: str
    because: tuple[Because, ...] = ()


def assess(questionnaire: Questionnaire, answers: Mapping[str, Any], *, purpose: str) -> Risk:
    """The class of risk of these answers about a use with the declared `purpose`."""
    found = [
        _because(rule) for rule in questionnaire.rules if holds(rule["when"], answers, {"purpose": purpose})
    ]
    found.sort(key=lambda because: -CLASSES.index(because.risk_class))
    return Risk(found[0].risk_class if found else CLASSES[0], tuple(found))


def because_of(version: str, rules: list[str]) -> list[Because]:
    """The rules of these ids in a version, for a reader of stored results."""
    questionnaire = QUESTIONNAIRES.get(version)
    known = {rule["id"]: rule for rule in questionnaire.rules} if questionnaire else {}
    return [_because(known[name]) for name in rules if name in known]


def _because(rule: Mapping[str, Any]) -> Because:
    return Because(rule["id"], rule["class"], rule["article"], Words(rule["because"]))
