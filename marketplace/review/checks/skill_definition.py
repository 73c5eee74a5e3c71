"""Do the skills say what they do, openly, and does their code fit what the manifest asks for."""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

from marketplace.catalog.findings import Finding, Severity, gettext_noop, printable
from marketplace.catalog.manifest import Manifest, SkillSpec
from marketplace.catalog.skillmd import MAX_BODY_LINES, MAX_SKILL_BYTES, SkillError, parse_skill
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge, read_start

MAX_SCRIPT_BYTES = 256 << 10
_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_JOINERS = {"\u200c", "\u200d"}
_COMMENT = re.compile(r"<!--(.*?)(-->|\Z)", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{160,}={0,2}")
_NETWORK = {
    "socket",
    "ssl",
    "http",
    "urllib",
    "ftplib",
    "smtplib",
    "telnetlib",
    "requests",
    "httpx",
    "aiohttp",
}
_PROCESS = {"subprocess", "multiprocessing", "pty"}
_NATIVE = {"ctypes", "cffi", "mmap", "_ctypes"}
_DYNAMIC = {"eval", "exec", "compile", "__import__"}
_SERIAL = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def hidden_text(path: str, text: str) -> Iterator[Finding]:
    """Yield what a person does not see but a model reads: control characters, comments, encoded blocks."""
    for number, line in enumerate(text.splitlines(), 1):
        hidden = sorted({char for index, char in enumerate(line) if _is_hidden(line, index)})
        if hidden:
            message = gettext_noop("This line has invisible or text-direction characters. Remove them.")
            yield Finding(
                "skill.hidden-characters",
                Severity.CRITICAL,
                message,
                path=path,
                line=number,
                evidence=", ".join(f"U+{ord(char):04X}" for char in hidden[:8]),
            )
    for match in _COMMENT.finditer(text):
        message = gettext_noop(
            "A comment is hidden from readers but not from the model. Write it openly or remove it."
        )
        at = text.count("\n", 0, match.start()) + 1
        evidence = printable(" ".join(match[1].split()))
        yield Finding("skill.html-comment", Severity.WARN, message, path=path, line=at, evidence=evidence)
    for match in _BASE64.finditer(text):
        message = gettext_noop(
            "A long encoded block cannot be reviewed. Put its content into a file or remove it."
        )
        at = text.count("\n", 0, match.start()) + 1
        evidence = match[0][:24] + "…"
        yield Finding("skill.encoded-block", Severity.WARN, message, path=path, line=at, evidence=evidence)


def _is_hidden(line: str, index: int) -> bool:
    char = line[index]
    if char in _BIDI or "\U000e0000" <= char <= "\U000e0fff":
        return True
    if char in _JOINERS:  # right between letters of scripts that join, and inside emoji
        around = line[max(index - 1, 0) : index] + line[index + 1 : index + 2]
        return len(around) < 2 or any(neighbour.isascii() for neighbour in around)
    return (
        unicodedata.category(char) in ("Cf", "Cc", "Co", "Cn") and char not in "\t\ufeff" and char != "\u00ad"
    )


def script_problems(skill: SkillSpec, file: Path, manifest: Manifest) -> Iterator[Finding]:
    """Yield what the source of an entry point shows: no such function, or uses that the sandbox will refuse."""
    path = skill.script

    def finding(
        code: str, severity: Severity, message: str, line: int | None = None, **params: str
    ) -> Finding:
        return Finding(f"skill.{code}", severity, message, params, path=path, line=line)

    data = read_start(file, MAX_SCRIPT_BYTES)
    if len(data) > MAX_SCRIPT_BYTES:
        message = gettext_noop("The script is larger than %(limit)s KiB. Split it into modules beside it.")
        yield finding("too-large", Severity.CRITICAL, message, limit=str(MAX_SCRIPT_BYTES >> 10))
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the publisher's source, not ours
            tree = ast.parse(data, filename=path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = gettext_noop(
            "This is not valid Python: %(reason)s. Correct it and try it with “python -m py_compile”."
        )
        reason = printable(getattr(error, "msg", "") or str(error))
        yield finding("syntax", Severity.CRITICAL, message, getattr(error, "lineno", None), reason=reason)
        return
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    function = functions.get(skill.function)
    if function is None:
        message = gettext_noop(
            "There is no function “%(function)s” in this file. Define it or correct the entry point."
        )
        yield finding("no-function", Severity.CRITICAL, message, function=skill.function)
    elif len(function.args.posonlyargs + function.args.args) != 1 and function.args.vararg is None:
        message = gettext_noop("“%(function)s” must take exactly one argument, the input as a dictionary.")
        yield finding("arguments", Severity.CRITICAL, message, function.lineno, function=skill.function)
    yield from _uses(tree, path, manifest)


def _uses(tree: ast.Module, path: str, manifest: Manifest) -> Iterator[Finding]:
    warnings_of = {
        "process": gettext_noop("“%(name)s” starts processes, which the sandbox refuses. Remove it."),
        "native": gettext_noop(
            "“%(name)s” calls native code; a reviewer has to see why. Avoid it if you can."
        ),
        "dynamic": gettext_noop("“%(name)s” runs code that is not written here; a reviewer has to see why."),
        "network": gettext_noop("“%(name)s” reaches the network, but the manifest asks for no host."),
        "serial": gettext_noop("“%(name)s” can run code when it loads data. Use JSON instead."),
    }
    groups = {"process": _PROCESS, "native": _NATIVE, "dynamic": _DYNAMIC, "serial": _SERIAL}
    if not manifest.permissions.network:
        groups["network"] = _NETWORK
    seen = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _DYNAMIC:
            names = [node.func.id]
        for name in names:
            for code, members in groups.items():
                if name in members and (code, name) not in seen:
                    seen.add((code, name))
                    line = getattr(node, "lineno", None)
                    yield Finding(
                        f"skill.uses-{code}",
                        Severity.WARN,
                        warnings_of[code],
                        {"name": name},
                        path=path,
                        line=line,
                    )


def document_problems(path: str, file: Path) -> Iterator[Finding]:
    """Yield what is wrong with one SKILL.md."""
    data = read_start(file, MAX_SKILL_BYTES)
    try:
        document = parse_skill(data, folder=file.parent.name, path=path)
    except SkillError as error:
        yield from error.findings
        return
    yield from hidden_text(path, data.decode("utf-8"))
    if document.body.count("\n") > MAX_BODY_LINES:
        message = gettext_noop("SKILL.md has more than %(limit)d lines. Move details into references/.")
        yield Finding("skill.long", Severity.INFO, message, {"limit": MAX_BODY_LINES}, path=path)
    if document.allowed_tools:
        message = gettext_noop("“allowed-tools” is not a grant here; ask for tools in plugin.json.")
        evidence = printable(" ".join(document.allowed_tools))
        yield Finding("skill.allowed-tools", Severity.INFO, message, path=path, evidence=evidence)


def run(context: CheckContext) -> CheckOutcome:
    """Read every skills/*/SKILL.md and the source of every declared entry point."""
    root, documents = context.root, 0
    findings: list[Finding] = []
    for file in sorted(root.glob("skills/*/SKILL.md")):
        documents += 1
        findings += document_problems(file.relative_to(root).as_posix(), file)
    for skill in context.manifest.skills:
        findings += script_problems(skill, root / skill.script, context.manifest)
    if (root / "mcp.json").is_file():
        message = gettext_noop(
            "The package brings MCP servers; a reviewer has to look at what they start and reach."
        )
        findings.append(Finding("skill.mcp", Severity.WARN, message, path="mcp.json"))
    passed = (
        gettext_noop("The skills are written openly.")
        if documents
        else gettext_noop("The plugin has no skill.")
    )
    return judge(findings, passed=passed, skills=documents)


CHECK = Check(
    name="skill-definition",
    version="1",
    title=gettext_noop("Skill definition"),
    summary=gettext_noop("SKILL.md follows Agent Skills, hides nothing, and the code fits the permissions."),
    run=run,
)
