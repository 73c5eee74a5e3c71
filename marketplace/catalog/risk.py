"""How much harm a plugin version could do, judged from its manifest, with the reasons in words.

The risk does not say whether a plugin is good; it decides how many people must agree and how fast it spreads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from marketplace.catalog.findings import Finding, Severity, gettext_noop

# Regulation (EU) 2024/1689 (AI Act), Annex III and Article 6(1) with Annex I, as identifiers.
HIGH_RISK_PURPOSES = frozenset(
    {
        "biometric-identification",
        "credit-scoring",
        "critical-infrastructure",
        "education-assessment",
        "employment-screening",
        "insurance-pricing",
        "justice",
        "law-enforcement",
        "medical-diagnosis",
        "migration-control",
    }
)
_SPECIAL_LABELS = {"health", "biometric"}
_PROTECTED_LABELS = {"restricted", "personal", "financial", "confidential"}


class RiskLevel(StrEnum):
    """From low to high; a high version needs two reviewers."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Risk:
    """The level, why, and whether the purpose needs an ethics approval. `str(reason)` is its English text."""

    level: RiskLevel
    reasons: tuple[Finding, ...]
    high_risk_purpose: bool

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "level": str(self.level),
            "reasons": [reason.as_json() for reason in self.reasons],
            "high_risk_purpose": self.high_risk_purpose,
        }


def assess(
    *,
    purpose: str,
    data_labels: Sequence[str],
    network: Sequence[str],
    files_read: Sequence[str],
    files_write: Sequence[str],
    secrets: Sequence[str],
    tools: Sequence[str],
) -> Risk:
    """Return the risk of a version with this purpose, these data labels and these permissions."""
    reasons = [
        *_high(purpose, data_labels, network, secrets),
        *_medium(data_labels, network, files_read, files_write, secrets, tools),
    ]
    worst = {reason.severity for reason in reasons}
    level = RiskLevel.LOW
    if Severity.CRITICAL in worst:
        level = RiskLevel.HIGH
    elif Severity.WARN in worst:
        level = RiskLevel.MEDIUM
    if not reasons:
        reasons = [
            Finding(
                "risk.none",
                Severity.INFO,
                gettext_noop("It asks for no rights and has no high-risk purpose."),
            )
        ]
    return Risk(level=level, reasons=tuple(reasons), high_risk_purpose=purpose in HIGH_RISK_PURPOSES)


def because_of_purpose(purpose: str) -> Finding:
    """The reason of a high-risk purpose, whoever states it: the manifest or a reviewer."""
    return Finding(
        "risk.purpose",
        Severity.CRITICAL,
        gettext_noop(
            "Its purpose, %(purpose)s, is high-risk under the EU AI Act and needs an ethics approval."
        ),
        {"purpose": purpose},
    )


def _high(
    purpose: str, labels: Sequence[str], network: Sequence[str], secrets: Sequence[str]
) -> Iterator[Finding]:
    def reason(code: str, message: str, **params: str) -> Finding:
        return Finding(f"risk.{code}", Severity.CRITICAL, message, params)

    if purpose in HIGH_RISK_PURPOSES:
        yield because_of_purpose(purpose)
    if special := sorted(_SPECIAL_LABELS & set(labels)):
        yield reason(
            "special-data",
            gettext_noop("It works on special categories of data: %(labels)s."),
            labels=", ".join(special),
        )
    if network and secrets:
        yield reason(
            "secrets-and-network",
            gettext_noop("It can use secrets and reach the network, so it could send them away."),
        )
    if wide := [host for host in network if host.startswith("*.")]:
        yield reason(
            "wide-network", gettext_noop("It can reach every host under %(hosts)s."), hosts=", ".join(wide)
        )


def _medium(
    labels: Sequence[str],
    network: Sequence[str],
    files_read: Sequence[str],
    files_write: Sequence[str],
    secrets: Sequence[str],
    tools: Sequence[str],
) -> Iterator[Finding]:
    asked: list[tuple[str, str, Sequence[str]]] = [
        ("network", gettext_noop("It can reach these hosts: %(items)s."), network),
        ("files-write", gettext_noop("It can change files in: %(items)s."), files_write),
        ("files-read", gettext_noop("It can read files in: %(items)s."), files_read),
        ("secrets", gettext_noop("It can use these secrets: %(items)s."), secrets),
        ("tools", gettext_noop("It can call these tools: %(items)s."), tools),
        (
            "protected-data",
            gettext_noop("It works on protected data: %(items)s."),
            sorted(_PROTECTED_LABELS & set(labels)),
        ),
    ]
    for code, message, items in asked:
        if items:
            yield Finding(f"risk.{code}", Severity.WARN, message, {"items": ", ".join(items)})
