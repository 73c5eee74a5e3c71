"""Are there credentials in the files. What is found is never repeated in full: the evidence is redacted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from marketplace.catalog.findings import Finding, Severity, gettext_noop
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge

MAX_SCANNED_BYTES = 64 << 20
MAX_TEXT_BYTES = 4 << 20
MAX_PER_FILE = 20
_MIN_ENTROPY_BITS = 3.5  # per character; words and placeholders lie below, random tokens above

# Formats that their issuers chose so that they can be recognised. Each pattern begins with the literal beside it:
# where that is not in a file, which is found at memory speed, the pattern is not tried.
_TOKENS = {
    "private key": ((b"-----BEGIN ",), rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    "AWS access key": ((b"AKIA", b"ASIA"), rb"%b[0-9A-Z]{16}(?![0-9A-Za-z])"),
    "GitHub token": (
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        rb"%b[A-Za-z0-9_]{36,255}",
    ),
    "GitLab token": ((b"glpat-",), rb"%b[A-Za-z0-9_-]{20,255}"),
    "Slack token": ((b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-", b"xoxs-", b"xoxe-"), rb"%b[A-Za-z0-9-]{10,255}"),
    "Google API key": ((b"AIza",), rb"%b[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    "Stripe key": ((b"sk_live_", b"rk_live_"), rb"%b[0-9A-Za-z]{20,255}"),
    "AI provider key": ((b"sk-",), rb"%b(?:ant-|proj-)?[A-Za-z0-9_-]{32,255}"),
    "Hugging Face token": ((b"hf_",), rb"%b[A-Za-z0-9]{34,64}(?![0-9A-Za-z_])"),
    "npm token": ((b"npm_",), rb"%b[A-Za-z0-9]{36}(?![0-9A-Za-z_])"),
    "PyPI token": ((b"pypi-AgEIcHlwaS5vcmc",), rb"%b[A-Za-z0-9_-]{50,1000}"),
    "Azure storage key": ((b"AccountKey=",), rb"%b[A-Za-z0-9+/]{86}=="),
    # found by its second part: the first may be anything that begins with eyJ, over and over
    "JSON web token": ((b".eyJ",), rb"%b[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}"),
    "password in an address": (
        (b"://",),
        rb"%b[^\s:/@\"'<>]{1,64}:[^\s:/@\"'<>{}$%%]{4,128}@[A-Za-z0-9.-]+",
    ),
}
_PATTERNS = [
    (kind, literal, re.compile(pattern % re.escape(literal) if b"%b" in pattern else pattern))
    for kind, (literals, pattern) in _TOKENS.items()
    for literal in literals
]
_ASSIGNMENT = re.compile(
    rb"(?i)(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)[a-z0-9_]{0,20}"
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

    covered: list[tuple[int, int]] = []
    for kind, match in tokens(data):
        covered.append(match.span())
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
    for match in _ASSIGNMENT.finditer(data, 0, MAX_TEXT_BYTES):
        value, (begin, end) = match[1], match.span(1)
        if _PLACEHOLDER.search(value) or entropy_bits(value) < _MIN_ENTROPY_BITS:
            continue
        if any(begin < last and first < end for first, last in covered):
            continue  # told already, with its kind
        message = gettext_noop("This looks like a password or key. If it is one, remove it and withdraw it.")
        yield Finding(
            "secrets.assignment",
            Severity.WARN,
            message,
            path=path,
            line=line_of(begin),
            evidence=redacted(value),
        )


def tokens(data: bytes) -> Iterator[tuple[str, re.Match[bytes]]]:
    """Yield (kind, match) of every credential in `data` that has a format of its own."""
    for kind, literal, pattern in _PATTERNS:
        if literal not in data:
            continue
        for match in pattern.finditer(data):
            before = data[match.start() - 1 : match.start()]
            if literal in (b"://", b".eyJ") or not (before.isalnum() or before in (b"_", b"/", b"+")):
                yield kind, match


def run(context: CheckContext) -> CheckOutcome:
    """Look through every file (the first 64 MiB of each)."""
    findings: list[Finding] = []
    cut = 0
    for path, file in context.files():
        findings += islice(scan(path, file), MAX_PER_FILE)
        cut += file.stat().st_size > MAX_SCANNED_BYTES
    return judge(findings, passed=gettext_noop("No credentials were found."), files_cut=cut)


CHECK = Check(
    name="secrets",
    version="1",
    title=gettext_noop("Secrets"),
    summary=gettext_noop("No private keys, tokens or passwords in the files."),
    run=run,
)
