"""`SKILL.md` as the Agent Skills standard wants it, strictly: YAML front matter, then instructions in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from marketplace.catalog.findings import Finding, PackageProblem, Severity, gettext_noop, printable

MAX_SKILL_BYTES = 256 << 10
MAX_FRONT_MATTER_BYTES = 16 << 10
MAX_BODY_LINES = 500
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KEYS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
_LENGTHS = {"name": 64, "description": 1024, "license": 200, "compatibility": 500, "allowed-tools": 1024}


class SkillError(PackageProblem):
    """The SKILL.md is refused; the findings say what to change."""


@dataclass(frozen=True, slots=True)
class SkillDocument:
    """A valid SKILL.md: its front matter and its body; `body_line` is the line where the body begins."""

    name: str
    description: str
    body: str
    body_line: int
    license: str = ""
    compatibility: str = ""
    allowed_tools: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class _PlainLoader(yaml.SafeLoader):
    """YAML without anchors and without types: every scalar is a text, a key may occur once."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        if getattr(event, "tag", None):
            raise yaml.composer.ComposerError(None, None, "tags are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str) or key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, "a key is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_skill(data: bytes, *, folder: str, path: str = "SKILL.md") -> SkillDocument:
    """Parse a SKILL.md that lies in a folder called `folder`; raise SkillError with every problem found."""

    def problem(code: str, message: str, line: int | None = None, **params: Any) -> Finding:
        return Finding(f"skill.{code}", Severity.CRITICAL, message, params, path=path, line=line)

    if len(data) > MAX_SKILL_BYTES:
        message = gettext_noop("SKILL.md is larger than %(limit)d KiB. Move parts of it into references/.")
        raise SkillError([problem("too-large", message, limit=MAX_SKILL_BYTES >> 10)])
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SkillError([problem("encoding", gettext_noop("SKILL.md must be written in UTF-8."))]) from error
    match = re.match(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        message = gettext_noop("SKILL.md must begin with YAML front matter between two lines of “---”.")
        raise SkillError([problem("front-matter", message, 1)])
    if len(match[1]) > MAX_FRONT_MATTER_BYTES:
        message = gettext_noop("The front matter of SKILL.md is too long. Put long texts below it.")
        raise SkillError([problem("front-matter", message, 1)])
    try:
        values = yaml.load(match[1], Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that accepts less
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        reason = printable(getattr(error, "problem", None) or type(error).__name__)
        message = gettext_noop("The front matter of SKILL.md is not plain YAML: %(problem)s.")
        raise SkillError([problem("yaml", message, line, problem=reason)]) from error
    if not isinstance(values, dict):
        message = gettext_noop("The front matter of SKILL.md must be a list of “key: value” lines.")
        raise SkillError([problem("front-matter", message, 1)])
    problems = [problem(code, message, **params) for code, message, params in _rules(values, folder)]
    if problems:
        raise SkillError(problems)
    return SkillDocument(
        name=values["name"],
        description=values["description"].strip(),
        body=text[match.end() :],
        body_line=text[: match.end()].count("\n") + 1,
        license=values.get("license", ""),
        compatibility=values.get("compatibility", ""),
        allowed_tools=tuple(values.get("allowed-tools", "").split()),
        metadata=values.get("metadata", {}),
    )


def _rules(values: dict[str, Any], folder: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for key in sorted(values.keys() - _KEYS):
        yield (
            "unknown-key",
            gettext_noop("“%(key)s” is not a key of Agent Skills. Move it below “metadata” or remove it."),
            {"key": printable(key)},
        )
    for key in ("name", "description"):
        if key not in values:
            yield "required", gettext_noop("“%(key)s” is missing in the front matter. Add it."), {"key": key}
    for key, limit in _LENGTHS.items():
        if key in values and not (
            isinstance(values[key], str) and values[key].strip() and len(values[key]) <= limit
        ):
            message = gettext_noop("“%(key)s” must be a text of 1 to %(limit)d characters.")
            yield "text", message, {"key": key, "limit": limit}
    name = values.get("name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        message = gettext_noop("“name” may have lower-case letters, digits and single hyphens between them.")
        yield "name", message, {}
    elif isinstance(name, str) and name != folder:
        message = gettext_noop("“name” must be the name of the folder, “%(folder)s”.")
        yield "name-folder", message, {"folder": printable(folder)}
    metadata = values.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        message = gettext_noop("“metadata” must be a list of “key: value” lines with texts only.")
        yield "metadata", message, {}
