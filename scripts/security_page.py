"""Keeps the tables of docs/security.md equal to docs/controls/: `--check` (in `make check`) or `--write`.

An entry of docs/controls/*.yaml says how one clause of a framework is met: by which code, policies and tests, and what
is left to the operator. That they exist is held by tests/site/meta/test_controls.py.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONTROLS = ROOT / "docs" / "controls"
PAGE = ROOT / "docs" / "security.md"
RULES = ROOT / "governance" / "access" / "cedar" / "rules"
POLICY_ID = re.compile(r'^@id\("([^"]+)"\)', re.MULTILINE)
BEGIN, END = "<!-- controls: begin -->", "<!-- controls: end -->"
LISTS = ("code", "policies", "tests")


class ControlsError(Exception):
    """A file of docs/controls/ that cannot be meant; the message says which entry and what to write."""


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework with every clause that it is held to, in order."""

    name: str
    title: str
    source: str
    about: str
    clauses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """How one clause, or a part of one, is met. `operator` is what the product leaves to who runs it."""

    framework: str
    clause: str
    title: str
    how: str = ""
    operator: str = ""
    code: tuple[str, ...] = field(default_factory=tuple)
    policies: tuple[str, ...] = field(default_factory=tuple)
    tests: tuple[str, ...] = field(default_factory=tuple)

    def covers(self, clause: str) -> bool:
        """Whether this is about the clause or a part of it: “Art. 14(4)” is a part of “Art. 14”, “Art. 141” is not."""
        rest = self.clause[len(clause) :]
        return self.clause.startswith(clause) and not rest[:1].isalnum()


def frameworks(folder: Path = CONTROLS) -> list[Framework]:
    """Every framework of `frameworks.yaml`."""
    rows = _read(folder / "frameworks.yaml")
    return [
        Framework(row["framework"], row["title"], row["source"], row["about"], tuple(row["clauses"]))
        for row in rows
    ]


def entries(folder: Path = CONTROLS) -> list[Entry]:
    """The entries of every other file, in their order. Raises ControlsError."""
    return [
        _entry(row, path.name)
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "frameworks.yaml"
        for row in _read(path)
    ]


def problems(known: Sequence[Framework], found: Sequence[Entry]) -> list[str]:
    """What is wrong with the table as a whole: clauses without an entry, twice, or of no framework that is listed."""
    wrong = []
    seen: set[tuple[str, str]] = set()
    names = {framework.name for framework in known}
    for entry in found:
        place = f"{entry.framework} {entry.clause}"
        if entry.framework not in names:
            wrong.append(f"{place}: the framework is not in frameworks.yaml")
        if (entry.framework, entry.clause) in seen:
            wrong.append(f"{place}: stands there twice")
        seen.add((entry.framework, entry.clause))
        if bool(entry.code) != bool(entry.tests) or bool(entry.code) != bool(entry.how):
            wrong.append(f"{place}: what the product does needs `how`, `code` and `tests` together")
        if not entry.code and not entry.operator:
            wrong.append(f"{place}: neither code that meets it nor a reason why it is the operator's")
    for framework in known:
        own = [entry for entry in found if entry.framework == framework.name]
        wrong += [
            f"{framework.name} {clause}: has no entry"
            for clause in framework.clauses
            if not any(entry.covers(clause) for entry in own)
        ]
    return wrong


def rendered(known: Sequence[Framework], found: Sequence[Entry]) -> str:
    """The part of the page between the markers."""
    lines = [
        BEGIN,
        "",
        "| framework | clauses held to | entries | the product's alone | shared with you | yours alone |",
        "|---|---|---|---|---|---|",
    ]
    for framework in known:
        own = [entry for entry in found if entry.framework == framework.name]
        counts = (
            len(framework.clauses),
            len(own),
            sum(1 for entry in own if entry.code and not entry.operator),
            sum(1 for entry in own if entry.code and entry.operator),
            sum(1 for entry in own if not entry.code),
        )
        anchor = _anchor(framework.name)
        lines.append(f"| [{framework.name}](#{anchor}) | {' | '.join(map(str, counts))} |")
    for framework in known:
        lines += [
            "",
            f"## {framework.name}",
            "",
            f"[{framework.title}]({framework.source}). {framework.about}",
        ]
        for entry in found:
            if entry.framework == framework.name:
                lines += ["", *_shown(entry)]
    return "\n".join([*lines, "", END])


def page_with(text: str, part: str) -> str:
    """The page's text with the generated part in its place. Raises ControlsError for a page without the markers."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ControlsError(f"{PAGE.name} lacks the lines {BEGIN} and {END}.")
    return before + part + after


def module_path(module: str) -> str:
    """The file of a module, relative to the checkout. Raises ControlsError for one that is not there."""
    stem = module.replace(".", "/")
    for path in (f"{stem}.py", f"{stem}/__init__.py"):
        if (ROOT / path).is_file():
            return path
    raise ControlsError(f"There is no module {module}.")


@cache
def policy_files() -> dict[str, str]:
    """The file of every shipped Cedar policy, relative to the checkout, by the policy's id."""
    return {
        name: path.relative_to(ROOT).as_posix()
        for path in sorted(RULES.glob("*.cedar"))
        for name in POLICY_ID.findall(path.read_text(encoding="utf-8"))
    }


def _shown(entry: Entry) -> Iterable[str]:
    yield f"### {entry.clause}: {entry.title}"
    yield ""
    if entry.how:
        yield entry.how
    if entry.operator:
        if entry.how:
            yield ""
        yield f"**Yours:** {entry.operator}"
    if entry.code:
        yield ""
        yield f"- Code: {', '.join(_code_link(name) for name in entry.code)}"
        if entry.policies:
            yield f"- Policies: {', '.join(_policy_link(name) for name in entry.policies)}"
        yield f"- Tests: {', '.join(_test_link(name) for name in entry.tests)}"


def _code_link(name: str) -> str:
    module, _colon, symbol = name.partition(":")
    return f"[`{module}.{symbol}`](../{module_path(module)})"


def _policy_link(name: str) -> str:
    if name not in policy_files():
        raise ControlsError(f"There is no policy {name}.")
    return f"[`{name}`](../{policy_files()[name]})"


def _test_link(name: str) -> str:
    path, _colons, test = name.partition("::")
    return f"[`{test}`](../{path})"


def _anchor(heading: str) -> str:
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -")
    return kept.replace(" ", "-")


def _read(path: Path) -> list[dict[str, Any]]:
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ControlsError(f"{path.name} must be a list of entries.")
    return rows


def _entry(row: dict[str, Any], file: str) -> Entry:
    place = f"{file}: {row.get('framework', '?')} {row.get('clause', '?')}"
    unknown = set(row) - set(Entry.__dataclass_fields__)
    missing = {"framework", "clause", "title"} - set(row)
    if unknown or missing:
        raise ControlsError(f"{place}: unknown {sorted(unknown)}, missing {sorted(missing)}.")
    texts = {name: value for name, value in row.items() if name not in LISTS}
    lists = {name: row.get(name, []) for name in LISTS}
    if not all(isinstance(value, str) and value.strip() for value in texts.values()):
        raise ControlsError(
            f"{place}: every text must be a text, in quotes where YAML would read something else."
        )
    for name, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ControlsError(f"{place}: `{name}` must be a list.")
    values: dict[str, Any] = {name: " ".join(value.split()) for name, value in texts.items()}
    values |= {name: tuple(value) for name, value in lists.items()}
    return Entry(**values)


def main() -> int:
    """Compare or write; exit status 1 when the page differs or the table is not whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    try:
        known, found = frameworks(), entries()
        wrong = problems(known, found)
        kept = PAGE.read_text(encoding="utf-8")
        page = page_with(kept, rendered(known, found))
    except ControlsError as error:
        wrong, kept, page = [str(error)], "", ""
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    if arguments.write:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if kept != page:
        print(
            "docs/security.md is not what docs/controls/ says: make controls, and commit it.", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
