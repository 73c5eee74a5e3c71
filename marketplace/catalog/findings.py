"""Findings: what a reader of a plugin package has to say to its publisher.

Pure Python, no Django: the command line uses it on a developer's machine. A message is kept as an English
template with `%(name)s` parameters, so that a face can translate the template and then fill it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


def gettext_noop(message: str) -> str:
    """Mark `message` for translation and return it unchanged.

    Django's function of the same name needs configured settings; this one only lets `makemessages` find the text.
    """
    return message


class Severity(StrEnum):
    """How much a finding weighs: `critical` refuses, `warn` asks a person to look, `info` only tells."""

    INFO = "info"
    WARN = "warn"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation about a package.

    `message` may be read by the publisher and says what to do; `evidence` is a short, redacted excerpt.
    `path` is inside the package, `line` counts from 1.
    """

    code: str
    severity: Severity
    message: str
    params: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    line: int | None = None
    evidence: str = ""

    def text(self, translate: Callable[[str], str] = str) -> str:
        """Return the message with its parameters filled in, in the language that `translate` gives."""
        template = translate(self.message)
        return template % self.params if self.params else template

    def __str__(self) -> str:
        return self.text()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-ready form; `message` is the English text, `template` and `params` allow translation."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.text(),
            "template": self.message,
            "params": dict(self.params),
            "path": self.path,
            "line": self.line,
            "evidence": self.evidence,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Read what `as_json` wrote."""
        return cls(
            code=data["code"],
            severity=Severity(data["severity"]),
            message=data.get("template") or data["message"],
            params=data.get("params") or {},
            path=data.get("path", ""),
            line=data.get("line"),
            evidence=data.get("evidence", ""),
        )


class PackageProblem(Exception):
    """A package that cannot be accepted; `findings` say why, worst first, at least one of them."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.text() for finding in self.findings))


def printable(text: str, limit: int = 120) -> str:
    """Return `text` with control, bidirectional and other unprintable characters escaped, cut at `limit`."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
