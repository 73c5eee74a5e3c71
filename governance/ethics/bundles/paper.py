"""A bundle as PDF, for people and authorities. Same content, same bytes; Chinese by the viewer's own font."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from django.utils.translation import gettext as _
from reportlab.lib import colors
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

FONT = "STSong-Light"  # a standard font of PDF viewers for Chinese; nothing is embedded
MARGIN = 20 * mm
WIDTH = A4[0] - 2 * MARGIN
INK, MUTED, LINE = colors.HexColor("#1a2233"), colors.HexColor("#5b6474"), colors.HexColor("#d5dae3")

_TEXT = ParagraphStyle(
    "text", fontName=FONT, fontSize=9.5, leading=13.5, textColor=INK, alignment=TA_LEFT, wordWrap="CJK"
)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=8, leading=11, textColor=MUTED)
_TITLE = ParagraphStyle("title", parent=_TEXT, fontSize=18, leading=24, spaceAfter=4)
_HEAD = ParagraphStyle("head", parent=_TEXT, fontSize=13, leading=18, spaceBefore=12, spaceAfter=4)
_SUB = ParagraphStyle("sub", parent=_TEXT, fontSize=10.5, leading=15, spaceBefore=6, spaceAfter=2)


def pdf_of(document: Mapping[str, Any], *, digest: str) -> bytes:
    """The document of `content.gather` on paper; `digest` is the SHA-256 of its JSON, printed on every page."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    out = BytesIO()
    label = str(document["object"].get("label") or document["object"]["id"])

    def footer(canvas: Any, _document: Any) -> None:
        canvas.saveState()
        canvas.setFont(FONT, 7)
        canvas.setFillColor(MUTED)
        canvas.drawString(MARGIN, 12 * mm, f"{label} · bundle.json sha256 {digest}"[:150])
        canvas.drawRightString(A4[0] - MARGIN, 12 * mm, str(canvas.getPageNumber()))
        canvas.restoreState()

    paper = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=label,
        author="OpenClaw",
        invariant=1,
    )
    paper.build(list(_story(document, label)), onFirstPage=footer, onLaterPages=footer)
    return out.getvalue()


def _story(document: Mapping[str, Any], label: str) -> Iterator[Flowable]:
    yield _p(_("Evidence bundle"), _SMALL)
    yield _p(label, _TITLE)
    facts = {k: v for k, v in document["object"].items() if k not in ("card", "figures")}
    yield _facts(facts | {"as_of": document["as_of"]})
    yield _p(_("Purpose"), _HEAD)
    yield _facts(document["purpose"])
    yield _p(_("Data"), _HEAD)
    yield _facts(document["data"]["asset"]) if document["data"]["asset"] else _nothing()
    for step in document["data"]["lineage"]:
        source = step["source"]
        yield _p(f"{step['relation']}: {source['name']} ({source['type']}, {source['label']})")
        yield _p(source["digest"] or source["id"], _SMALL)
    yield _p(_("Tests"), _HEAD)
    yield _facts(document["tests"]["figures"]) if document["tests"]["figures"] else _nothing()
    for evaluation in document["tests"]["evaluations"]:
        yield from _evaluation(evaluation["summary"])
    yield _p(_("Approvals"), _HEAD)
    for approval in document["approvals"]:
        yield from _approval(approval)
    if not document["approvals"]:
        yield _nothing()
    yield _p(_("Incidents"), _HEAD)
    for incident in document["incidents"]:
        yield _p(incident["title"], _SUB)
        yield _facts({k: v for k, v in incident.items() if k != "title"})
    if not document["incidents"]:
        yield _nothing()
    yield _p(_("Changes"), _HEAD)
    for change in document["changes"]:
        who = change["actor"] or change["actor_kind"]
        yield _p(f"{change['at']} · {change['action']} · {who} {change['reason']}")
        yield _p(change["entry_hash"], _SMALL)
    if document["object"].get("card"):
        yield _p(_("Model card"), _HEAD)
        for line in str(document["object"]["card"]).splitlines():
            yield _p(line) if line.strip() else Spacer(1, 4)


def _approval(approval: Mapping[str, Any]) -> Iterator[Flowable]:
    yield _p(f"{approval['subject']['label']}: {approval['state']}", _SUB)
    named = ("purpose", "risk_class", "publisher", "decided_by", "decided_at", "expires_at", "reason")
    yield _facts({name: approval[name] for name in named} | {"digest": approval["subject"]["digest"]})
    for because in approval["because"]:
        yield _p(f"{because['article']}: {because['because']}")
    for sentence in approval["conditions_in_words"]:
        yield _p(f"• {sentence}")
    for item in approval["evidence"]:
        yield _p(f"{item['kind']} · {item['supplied_at']}")
        yield _p(item["digest"], _SMALL)
    yield _p(_("Answers (%(version)s)") % {"version": approval["questionnaire"]["version"]}, _SUB)
    for answer in approval["questionnaire"]["answers"]:
        clauses = "; ".join(", ".join(part) for part in answer["frameworks"].values())
        yield _p(answer["text"], _SMALL)
        yield _p(_value(answer["answer"]))
        yield _p(clauses, _SMALL)


def _evaluation(summary: Mapping[str, Any]) -> Iterator[Flowable]:
    yield _p(_("Evaluation per group: %(group)s") % {"group": summary["group"]}, _SUB)
    rates = ("accuracy", "selection_rate", "false_positive_rate", "false_negative_rate")
    rows = [[summary["group"], "n", *rates]]
    rows += [[g["group"], str(g["n"]), *(_rate(g[rate]) for rate in rates)] for g in summary["groups"]]
    rows.append(["Δ", "", *(_rate(summary["disparities"][rate]["difference"]) for rate in rates)])
    yield _table([[_p(cell, _SMALL) for cell in row] for row in rows], [WIDTH / 6] * 6)


def _facts(facts: Mapping[str, Any]) -> Flowable:
    rows = [
        [_p(name, _SMALL), _p(_value(value))]
        for name, value in facts.items()
        if value not in (None, "", [], {})
    ]
    return _table(rows, [42 * mm, WIDTH - 42 * mm]) if rows else _nothing()


def _table(rows: list[list[Flowable]], widths: list[float]) -> Table:
    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ]
    return Table(rows, colWidths=widths, style=TableStyle(style))


def _nothing() -> Flowable:
    return _p(_("Nothing is recorded."), _SMALL)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(_value(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_value(part)}" for key, part in value.items())
    return str(value)


def _p(text: object, style: ParagraphStyle = _TEXT) -> Paragraph:
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in str(text))
    return Paragraph(escape(clean).replace("\n", "<br/>"), style)
