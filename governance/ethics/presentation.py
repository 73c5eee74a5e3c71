"""Approvals as pages show them, and what their forms send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _

from governance.errors import InvalidInput, TooLarge
from governance.ethics.evidence import MAX_BYTES
from governance.ethics.models import Approval
from governance.ethics.questionnaires import QUESTIONNAIRES, Question
from governance.ethics.questionnaires.risk import Because, because_of
from governance.ethics.selectors import EvidenceItem, checklist, missing
from governance.ethics.terms import parse_terms

TONES = {"minimal": "good", "limited": "warn", "high": "bad", "prohibited": "bad"}


@dataclass(frozen=True, slots=True)
class Row:
    """One request in the queue."""

    approval: Approval
    tone: str
    missing: list[EvidenceItem]

    @property
    def pk(self) -> object:
        """The approval's key."""
        return self.approval.pk


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with what was answered to it, in the reader's language."""

    question: Question
    answer: Any
    shown: str


@dataclass(frozen=True, slots=True)
class View:
    """One approval with everything that belongs to it."""

    tone: str
    because: list[Because]
    checklist: list[EvidenceItem]
    missing: list[EvidenceItem]
    sections: list[tuple[str, list[Answered]]]
    conditions: list[str]
    longest_days: int
    prohibited: bool


def row_of(approval: Approval) -> Row:
    """A request as the queue shows it."""
    return Row(approval, TONES[approval.risk_class], missing(approval))


def view_of(approval: Approval) -> View:
    """An approval as its page shows it; answers to a version that is gone are left out."""
    return View(
        tone=TONES[approval.risk_class],
        because=because_of(approval.questionnaire_version, approval.risk_because),
        checklist=checklist(approval),
        missing=missing(approval),
        sections=_sections(approval),
        conditions=parse_terms(approval.conditions).sentences(),
        longest_days=settings.ETHICS_APPROVAL_DAYS,
        prohibited=approval.risk_class == Approval.RiskClass.PROHIBITED,
    )


def _sections(approval: Approval) -> list[tuple[str, list[Answered]]]:
    questionnaire = QUESTIONNAIRES.get(approval.questionnaire_version)
    given = approval.questionnaire
    found = []
    for section in questionnaire.sections if questionnaire else ():
        answered = [
            Answered(question, given[question.id], question.shown(given[question.id]))
            for question in section.questions
            if question.id in given
        ]
        if answered:
            found.append((str(section.title), answered))
    return found


def conditions_from_form(sent: QueryDict) -> list[dict[str, Any]]:
    """The conditions that an officer filled in; empty fields are none. The service judges them."""
    values: dict[str, Any] = {
        "purposes_only": _names(sent.get("purposes", "")),
        "traffic_share_at_most": _whole(sent.get("share", "")),
        "person_confirms_above": _whole(sent.get("amount", "")),
        "region_only": _names(sent.get("regions", "")),
        "until": sent.get("until", "").strip(),
    }
    return [{"kind": kind, "value": value} for kind, value in values.items() if value not in ("", [])]


def days_from_form(sent: QueryDict) -> int | None:
    """For how many days; None for the longest."""
    days = _whole(sent.get("days", ""))
    if days == "":
        return None
    if not isinstance(days, int):
        raise InvalidInput(_("Give the number of days as a whole number."))
    return days


def document_from_form(request: HttpRequest) -> str:
    """The document that was pasted or chosen as a file."""
    file = request.FILES.get("file")
    if file is None:
        return request.POST.get("document", "")
    if file.size is None or file.size > MAX_BYTES:
        raise TooLarge(_("A document of evidence has at most %(limit)d KiB.") % {"limit": MAX_BYTES >> 10})
    try:
        return file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(_("A document of evidence is text in UTF-8.")) from error


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.replace("\n", ",").split(",") if name.strip()]


def _whole(text: str) -> int | str:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text
