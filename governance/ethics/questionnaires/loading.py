"""Reading the versions of the questionnaire, and refusing one that contradicts itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import jsonschema
import yaml
from django.utils.translation import get_language

from governance.ethics.questionnaires.logic import Condition, leaves

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh-hans")
FRAMEWORKS = {"eu_ai_act": "EU AI Act", "nist_ai_rmf": "NIST AI RMF", "iso_42001": "ISO/IEC 42001"}
Kind = Literal["text", "confirm", "choice", "multi-choice", "number"]


class QuestionnaireError(ValueError):
    """A file that is no questionnaire. The message says where."""


@dataclass(frozen=True, slots=True)
class Words:
    """A text in every language of the data. `str()` is the reader's."""

    by_language: Mapping[str, str]

    def __str__(self) -> str:
        language = get_language() or LANGUAGES[0]
        return self.by_language[language if language in self.by_language else LANGUAGES[0]]


@dataclass(frozen=True, slots=True)
class Option:
    """One possible answer; `alone` excludes all others."""

    id: str
    text: Words
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `when` is the condition under which it is asked; `frameworks` are clauses by framework."""

    id: str
    text: Words
    help: Words
    kind: Kind
    frameworks: Mapping[str, tuple[str, ...]]
    section: str
    when: Condition | None = None
    options: tuple[Option, ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    @property
    def clauses(self) -> list[tuple[str, str]]:
        """Framework and clauses in words, for pages."""
        return [(FRAMEWORKS[key], ", ".join(clauses)) for key, clauses in self.frameworks.items()]

    def shown(self, answer: Any) -> str:
        """An answer in the reader's words; empty where there is none."""
        if answer is None or answer == "":
            return ""
        texts = {option.id: str(option.text) for option in self.options}
        values = answer if isinstance(answer, list) else [answer]
        return ", ".join(texts.get(value, str(value)) for value in values)


@dataclass(frozen=True, slots=True)
class Section:
    """Questions under one heading."""

    id: str
    title: Words
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Questionnaire:
    """A version of the questions, with the rules that make a class of risk from the answers."""

    version: str
    title: Words
    sections: tuple[Section, ...]
    rules: tuple[Mapping[str, Any], ...]
    digest: str = field(compare=False)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """Every question in order."""
        return tuple(question for section in self.sections for question in section.questions)

    def question(self, name: str) -> Question | None:
        """The question of that id."""
        return next((question for question in self.questions if question.id == name), None)


def parse(data: bytes) -> Questionnaire:
    """Read one version. Raises QuestionnaireError that names the place."""
    try:
        document = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise QuestionnaireError(f"it is no YAML: {error}") from error
    problem = next(iter(sorted(_schema().iter_errors(document), key=lambda e: list(map(str, e.path)))), None)
    if problem is not None:
        raise QuestionnaireError(f"{problem.json_path}: {problem.message}")
    sections = tuple(
        Section(
            part["id"],
            Words(part["title"]),
            tuple(_question(entry, part["id"]) for entry in part["questions"]),
        )
        for part in document["sections"]
    )
    made = Questionnaire(
        document["version"],
        Words(document["title"]),
        sections,
        tuple(document["risk"]),
        sha256(data).hexdigest(),
    )
    for complaint in _contradictions(made):
        raise QuestionnaireError(complaint)
    return made


def _question(entry: dict[str, Any], section: str) -> Question:
    return Question(
        id=entry["id"],
        text=Words(entry["text"]),
        help=Words(entry["help"]),
        kind=entry["kind"],
        frameworks={key: tuple(clauses) for key, clauses in entry["frameworks"].items()},
        section=section,
        when=entry.get("when"),
        options=tuple(
            Option(option["id"], Words(option["text"]), option.get("alone", False))
            for option in entry.get("options", ())
        ),
        minimum=entry.get("minimum"),
        maximum=entry.get("maximum"),
    )


def _contradictions(made: Questionnaire) -> Iterator[str]:
    known: dict[str, set[str]] = {}
    for question in made.questions:
        if question.id in known:
            yield f"the question {question.id} is there twice"
        names = [option.id for option in question.options]
        if len(names) != len(set(names)):
            yield f"{question.id} has an option twice"
        low, high = question.minimum, question.maximum
        if low is not None and high is not None and low > high:
            yield f"{question.id} has no possible answer"
        yield from _unknown(question.when or {}, known, f"the question {question.id}")
        known[question.id] = set(names)
    ids = [rule["id"] for rule in made.rules]
    if len(ids) != len(set(ids)):
        yield "a rule is there twice"
    for rule in made.rules:
        yield from _unknown(rule["when"], known, f"the rule {rule['id']}")


def _unknown(condition: Condition, known: Mapping[str, set[str]], who: str) -> Iterator[str]:
    for leaf in leaves(condition):
        if "question" not in leaf:
            continue
        if leaf["question"] not in known:
            yield f"{who} depends on {leaf['question']}, which is not asked before it"
        elif missing := sorted(set(leaf["includes"]) - known[leaf["question"]]):
            yield f"{who} depends on answers that {leaf['question']} does not have: {', '.join(missing)}"


def _schema() -> jsonschema.Draft202012Validator:
    text = (FOLDER / "questionnaire.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def _read_all() -> dict[str, Questionnaire]:
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        made = parse(path.read_bytes())
        if made.version != path.stem:
            raise QuestionnaireError(f"{path.name} holds the version {made.version}")
        found[made.version] = made
    return found


QUESTIONNAIRES = _read_all()
CURRENT = QUESTIONNAIRES["ai-act-2"]
# Versions that new requests may still answer. The others stay readable, because approvals refer to them.
ACCEPTED = frozenset({"ai-act-1", "ai-act-2"})
