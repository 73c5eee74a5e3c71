"""Are there credentials in the files. What is found is never repeated in full: the evidence is redacted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from marketplace.catalog.findings import Finding, Severity, gettext_noop
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge

MAX_SCANNED_BYTES = 16 << 20
_MIN_ENTROPY_BITS = 3.5  # per character; words and placeholders lie below, random tokens above

# Formats that their issuers chose so that they can be recognised.
_TOKENS = {
    "private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b",
    "GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "Slack token": rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "Google API key": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "Stripe key": rb"\b[rs]k_live_[0-9A-Za-z]{20,}\b",
    "AI provider key": rb"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
    "Hugging Face token": rb"\bhf_[A-Za-z0-9]{34,}\b",
    "npm token": rb"\bnpm_[A-Za-z0-9]{36}\b",
    "PyPI token": rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
    "Azure storage key": rb"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "JSON web token": rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "password in an address": rb"\b[a-z][a-z0-9+]{2,12}://[^\s:/@\"'<>]{1,64}:[^\s:/@\"'<>{}$%]{4,128}@[A-Za-z0-9.-]+",
}
_TOKEN = re.compile(b"|".join(b"(%b)" % pattern for pattern in _TOKENS.values()))
_KINDS = tuple(_TOKENS)
_ASSIGNMENT = re.compile(
    rb"(?i)\b[a-z0-9_.-]{0,40}(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|credential)[a-z0-9_]{0,20}"
    rb"[\"']?\s{0,3}[:=]\s{0,3}[\"']([^\"'\s]{12,200})[\"']"
)
_PLACEHOLDER = re.compile(rb"(?i)example|changeme|placeholder|dummy|your[_-]|xxxx|<|\$\{|\{\{|%\(|test")
_FILES = re.compile(
    r"(?i)(^|/)(\.env(\..+)?|\.netrc|\.npmrc|\.pypirc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|"
    r".+\.(p12|pfx|jks|keystore|kdbx|key))$"
)


def entropy_bits(text: bytes) -> float:
    """Return the Shannon entropy of `text` in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def redacted(secret: bytes) -> str:
    """Return enough of a secret to find it and too little to use it."""
    shown = secret[:4].decode("ascii", "replace")
    return f"{shown}… ({len(secret)} characters)"


def scan(path: str, file: Path) -> Iterator[Finding]:
    """Yield the credentials found in one file."""
    if _FILES.search(path):
        message = gettext_noop("“%(file)s” usually holds credentials. Remove it from the package.")
        yield Finding("secrets.file", Severity.WARN, message, {"file": path}, path=path)
    with file.open("rb") as stream:
        data = stream.read(MAX_SCANNED_BYTES)
    is_text = b"\0" not in data[:4096]

    def line_of(position: int) -> int | None:
        return data.count(b"\n", 0, position) + 1 if is_text else None

    for match in _TOKEN.finditer(data):
        kind = _KINDS[(match.lastindex or 1) - 1]
        message = gettext_noop(
            "A %(kind)s is in this file. Remove it, and withdraw it where it was issued: it has left your house."
        )
        yield Finding(
            "secrets.token",
            Severity.CRITICAL,
            message,
            {"kind": kind},
            path=path,
            line=line_of(match.start()),
            evidence=redacted(match[0]),
        )
    if not is_text:
        return
    for match in _ASSIGNMENT.finditer(data):
        value = match[1]
        if _PLACEHOLDER.search(value) or entropy_bits(value) < _MIN_ENTROPY_BITS or _TOKEN.search(value):
            continue
        message = gettext_noop("This looks like a password or key. If it is one, remove it and withdraw it.")
        yield Finding(
            "secrets.assignment",
            Severity.WARN,
            message,
            path=path,
            line=line_of(match.start(1)),
            evidence=redacted(value),
        )


def run(context: CheckContext) -> CheckOutcome:
    """Look through every file (the first 16 MiB of each)."""
    findings, cut = [], 0
    for path, file in context.files():
        findings += list(scan(path, file))[:20]
        cut += file.stat().st_size > MAX_SCANNED_BYTES
    return judge(findings, passed=gettext_noop("No credentials were found."), files_cut=cut)


CHECK = Check(
    name="secrets",
    version="1",
    title=gettext_noop("Secrets"),
    summary=gettext_noop("No private keys, tokens or passwords in the files."),
    run=run,
)
