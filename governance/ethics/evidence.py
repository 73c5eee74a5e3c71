"""What evidence a class of risk needs, and whether a document is what it says.

A model card is Markdown with the sections of Mitchell et al. (2019); an evaluation per group and an oversight plan are
JSON by the schemas in `schemas/`. Reading one gives the summary that pages and bundles show.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
from django.utils.translation import gettext as _

from governance.errors import InvalidInput, TooLarge
from governance.ethics.models import Approval, Evidence

Kind = Evidence.Kind
Class = Approval.RiskClass
REQUIRED: Mapping[str, tuple[str, ...]] = {
    Class.MINIMAL: (),
    Class.LIMITED: (Kind.MODEL_CARD,),
    Class.HIGH: (Kind.MODEL_CARD, Kind.EVALUATION, Kind.OVERSIGHT_PLAN),
    Class.PROHIBITED: (),
}
MAX_BYTES = 256 << 10
# Below this many rows a rate says little about a group; the summary marks it.
SMALL_GROUP = 30
RATES = ("accuracy", "selection_rate", "false_positive_rate", "false_negative_rate")
TOLERANCE = 1e-6

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_SECTIONS = {
    "intended use": re.compile(r"intended use|预期用途|用途", re.IGNORECASE),
    "data": re.compile(r"\bdata(set)?s?\b|数据", re.IGNORECASE),
    "evaluation": re.compile(r"\bevaluation\b|\bperformance\b|评估|评测", re.IGNORECASE),
    "limitations": re.compile(r"\blimitations?\b|局限|限制", re.IGNORECASE),
    "licence": re.compile(r"\blicen[cs]e\b|许可", re.IGNORECASE),
}


def digest_of(document: str) -> str:
    """SHA-256 of a document's UTF-8 bytes."""
    return sha256(document.encode()).hexdigest()


def summarize(kind: str, document: str) -> dict[str, Any]:
    """What a document says, in short. Raises InvalidInput that names every fault, TooLarge past 256 KiB."""
    if kind not in Kind.values:
        raise InvalidInput(
            _("“%(kind)s” is no kind of evidence.") % {"kind": kind[:40]},
            hint=_("Known kinds: %(kinds)s.") % {"kinds": ", ".join(Kind.values)},
        )
    if len(document.encode()) > MAX_BYTES:
        raise TooLarge(_("A document of evidence has at most %(limit)d KiB.") % {"limit": MAX_BYTES >> 10})
    if "\x00" in document:
        raise InvalidInput(_("A document of evidence is text."))
    if kind == Kind.MODEL_CARD:
        return _model_card(document)
    if kind == Kind.EVALUATION:
        return _evaluation(_json(kind, document, "evaluation.schema.json"))
    return _oversight_plan(_json(kind, document, "oversight-plan.schema.json"))


def as_text(document: Any) -> str:
    """A document as it is kept: text as sent; an object as JSON with sorted keys."""
    if isinstance(document, str):
        return document
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1)


def _model_card(text: str) -> dict[str, Any]:
    headings = _HEADING.findall(text)
    missing = [name for name, pattern in _SECTIONS.items() if not any(map(pattern.search, headings))]
    if missing:
        raise _faulty(
            Kind.MODEL_CARD,
            [(f"/{name}", _("The section “%(name)s” is missing.") % {"name": name}) for name in missing],
        )
    return {"sections": headings[:40], "characters": len(text)}


def _evaluation(document: dict[str, Any]) -> dict[str, Any]:
    faults = []
    groups = document["groups"]
    names = [group["group"] for group in groups]
    if len(set(names)) != len(names):
        faults.append(("/groups", _("A group is there twice.")))
    if not sum(group["n"] for group in groups) == document["overall"]["n"] == document["data"]["rows"]:
        faults.append(("/groups", _("The groups do not add up to the rows of the data.")))
    for rate in RATES:
        told, found = document["disparities"][rate], disparity([group[rate] for group in groups])
        for name, value in found.items():
            if not _same(told[name], value):
                faults.append(
                    (f"/disparities/{rate}/{name}", _("This is not what follows from the groups' figures."))
                )
    if faults:
        raise _faulty(Kind.EVALUATION, faults)
    return {
        "group": document["group"],
        "rows": document["data"]["rows"],
        "data": document["data"]["name"],
        "overall": {rate: document["overall"][rate] for rate in RATES},
        "groups": [{key: group[key] for key in ("group", "n", *RATES)} for group in groups],
        "disparities": document["disparities"],
        "small_groups": [group["group"] for group in groups if group["n"] < SMALL_GROUP],
    }


def disparity(rates: list[float | None]) -> dict[str, float | None]:
    """The largest difference and the smallest ratio between groups, as Fairlearn's MetricFrame defines them.

    None where a group has no such rate (it has no negatives, for example), or every rate is zero (the ratio).
    """
    known = [rate for rate in rates if rate is not None]
    if len(known) != len(rates) or not known:
        return {"difference": None, "ratio": None}
    low, high = min(known), max(known)
    return {"difference": high - low, "ratio": low / high if high else None}


def _same(told: float | None, value: float | None) -> bool:
    if told is None or value is None:
        return told is value
    return math.isclose(told, value, abs_tol=TOLERANCE)


def _oversight_plan(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "overseers": [overseer["role"] for overseer in document["overseers"]],
        "can": document["can"],
        "minutes_to_step_in": document["minutes_to_step_in"],
        "escalation": document["escalation"],
        "ask_a_person_below_confidence": document.get("ask_a_person_below_confidence"),
    }


def _json(kind: str, text: str, schema: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _faulty(kind, [("/", _("It is no JSON: %(why)s") % {"why": str(error)[:200]})]) from error
    faults = [
        ("/" + "/".join(map(str, error.absolute_path)), error.message[:300])
        for error in list(_validator(schema).iter_errors(document))[:20]
    ]
    if faults:
        raise _faulty(kind, faults)
    assert isinstance(document, dict)
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    path = Path(__file__).parent / "schemas" / name
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _faulty(kind: str, faults: list[tuple[str, str]]) -> InvalidInput:
    return InvalidInput(
        _("The %(kind)s cannot be accepted: %(why)s")
        % {"kind": Kind(kind).label, "why": " ".join(detail for _pointer, detail in faults[:3])},
        code="evidence-invalid",
        hint=_("Correct it and send it again; nothing was kept."),
        errors=[{"pointer": pointer, "detail": detail} for pointer, detail in faults],
    )
