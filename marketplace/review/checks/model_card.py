"""Does every model have a card that says what it is for, and what it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from marketplace.catalog.findings import Finding, Severity, gettext_noop
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge, read_start

MAX_CARD_BYTES = 256 << 10
MIN_SECTION_CHARACTERS = 20
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$")
# After Mitchell et al., "Model Cards for Model Reporting" (2019): what a reviewer cannot do without.
_SECTIONS = {
    gettext_noop("Intended use"): re.compile(r"intended use|预期用途|用途", re.IGNORECASE),
    gettext_noop("Data"): re.compile(r"\bdata(set)?s?\b|数据", re.IGNORECASE),
    gettext_noop("Evaluation"): re.compile(r"\bevaluation\b|\bperformance\b|评估|评测", re.IGNORECASE),
    gettext_noop("Limitations"): re.compile(r"\blimitations?\b|局限|限制", re.IGNORECASE),
    gettext_noop("Licence"): re.compile(r"\blicen[cs]e\b|许可", re.IGNORECASE),
}
_PLACEHOLDER = re.compile(
    r"\bTODO\b|\bTBD\b|\bFIXME\b|\blorem ipsum\b|^Replace this:", re.IGNORECASE | re.MULTILINE
)


def sections(text: str) -> dict[str, str]:
    """Return heading → text below it of a Markdown document; code fences are not searched for headings."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        match = None if fenced else _HEADING.match(line)
        if match:
            current = found.setdefault(match[1], [])
        elif current is not None:
            current.append(line)
    return {heading: "\n".join(lines).strip() for heading, lines in found.items()}


def card_problems(path: str, file: Path) -> Iterator[Finding]:
    """Yield what is missing in the model card `file`, which is `path` in the package."""

    def finding(code: str, severity: Severity, message: str, **params: str | int) -> Finding:
        return Finding(f"card.{code}", severity, message, params, path=path)

    data = read_start(file, MAX_CARD_BYTES)
    if len(data) > MAX_CARD_BYTES:
        message = gettext_noop("The model card is larger than %(limit)d KiB. Make it shorter.")
        yield finding("too-large", Severity.CRITICAL, message, limit=MAX_CARD_BYTES >> 10)
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        message = gettext_noop("The model card is not text in UTF-8. Write it in Markdown.")
        yield finding("encoding", Severity.CRITICAL, message)
        return
    written = sections(text)
    for title, pattern in _SECTIONS.items():
        bodies = [body for heading, body in written.items() if pattern.search(heading)]
        if not bodies:
            message = gettext_noop(
                "The model card has no section “%(section)s”. Add the heading and a few sentences."
            )
            yield finding("section-missing", Severity.CRITICAL, message, section=title)
        elif sum(map(len, bodies)) < MIN_SECTION_CHARACTERS and title != "Licence":
            message = gettext_noop(
                "The section “%(section)s” of the model card is almost empty. Write what holds."
            )
            yield finding("section-empty", Severity.CRITICAL, message, section=title)
    placeholder = _PLACEHOLDER.search(text)
    if placeholder:
        line = text.count("\n", 0, placeholder.start()) + 1
        message = gettext_noop(
            "The model card still has a text to be replaced. Write what holds for your model."
        )
        yield Finding(
            "card.placeholder", Severity.WARN, message, path=path, line=line, evidence=placeholder[0]
        )


def run(context: CheckContext) -> CheckOutcome:
    """Read each card that the manifest names, once."""
    cards = sorted({model.card for model in context.manifest.models})
    findings = [finding for card in cards for finding in card_problems(card, context.root / card)]
    passed = (
        gettext_noop("Every model has a complete card.")
        if cards
        else gettext_noop("The plugin has no model.")
    )
    return judge(findings, passed=passed, cards=len(cards))


CHECK = Check(
    name="model-card",
    version="1",
    title=gettext_noop("Model card"),
    summary=gettext_noop("Intended use, data, evaluation, limitations and licence are described."),
    run=run,
)
