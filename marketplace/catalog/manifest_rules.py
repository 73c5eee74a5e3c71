"""The rules of `plugin.json`: shape first (the standard, then the JSON Schema of our extension), then meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from license_expression import ExpressionError, Licensing, get_spdx_licensing

from marketplace.catalog import strictjson
from marketplace.catalog.findings import Finding, PackageProblem, Severity, gettext_noop, printable
from marketplace.catalog.names import name_problems

MANIFEST_NAME = "plugin.json"
EXTENSION = "dev.openclaw"
MANIFEST_SCHEMA = "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json"
MAX_MANIFEST_BYTES = 256 << 10
MAX_ITEMS = 512

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PLUGIN_NAME = re.compile(r"(?!.*(--|\.\.))[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?")
_SEMVER = re.compile(  # semver.org, the pattern it suggests
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_REVERSE_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(\.[a-z0-9][a-z0-9-]{0,62}){1,8}")
_ENTRYPOINT = re.compile(
    r"(?P<path>skills/(?P<skill>[^/:]+)/[^:]+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]{0,63})"
)
_LICENSE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_TEXT_KEYS = {"version": 64, "description": 1024, "homepage": 400, "repository": 400, "license": 200}
_AUTHOR_KEYS = {"name": 200, "email": 254, "url": 400}
_KNOWN_KEYS = {"$schema", "name", "author", "keywords", "extensions", *_TEXT_KEYS}


class ManifestError(PackageProblem):
    """The manifest is refused; the findings say what to change."""


def _finding(code: str, message: str, severity: Severity = Severity.CRITICAL, **params: Any) -> Finding:
    return Finding(f"manifest.{code}", severity, message, params, path=MANIFEST_NAME)


def validated(data: bytes) -> tuple[dict[str, Any], list[Finding]]:
    """Return the document in `data` without unknown keys, and notes about it; raise ManifestError."""
    if len(data) > MAX_MANIFEST_BYTES:
        message = gettext_noop("plugin.json is larger than %(limit)d KiB. Make it shorter.")
        raise ManifestError([_finding("too-large", message, limit=MAX_MANIFEST_BYTES >> 10)])
    try:
        document = strictjson.loads(data, max_items=MAX_ITEMS)
    except strictjson.StrictJSONError as error:
        message = gettext_noop("plugin.json is not valid JSON: %(problem)s.")
        raise ManifestError([_finding("not-json", message, problem=printable(str(error)))]) from error
    if not isinstance(document, dict):
        raise ManifestError([_finding("not-json", gettext_noop("plugin.json must be a JSON object."))])
    notes = [
        _finding(
            "unknown-key",
            gettext_noop(
                "“%(key)s” is not a key of the manifest and is ignored. Put your own data under “extensions”."
            ),
            Severity.INFO,
            key=printable(key),
        )
        for key in sorted(document.keys() - _KNOWN_KEYS)
    ]
    document = {key: value for key, value in document.items() if key in _KNOWN_KEYS}
    problems = [*_standard(document)] or [*_extension(document["extensions"][EXTENSION])]
    if problems:
        raise ManifestError(problems)
    return document, notes


def _standard(document: dict[str, Any]) -> Iterator[Finding]:
    """Agent Plugins 1.0.0, and the optional keys that a catalogue cannot do without."""
    if document.get("$schema") != MANIFEST_SCHEMA:
        yield _finding(
            "schema", gettext_noop("“$schema” must be exactly “%(schema)s”."), schema=MANIFEST_SCHEMA
        )
    name = document.get("name")
    if not isinstance(name, str) or not _PLUGIN_NAME.fullmatch(name):
        yield _finding(
            "name",
            gettext_noop(
                "“name” must have 1 to 64 lower-case letters, digits, dots or hyphens, begin and end with a letter or "
                "digit, and have no two dots or hyphens in a row."
            ),
        )
    for key in ("version", "description", "license"):
        if key not in document:
            yield _finding("required", gettext_noop("“%(key)s” is missing. Add it."), key=key)
    yield from _texts(document, _TEXT_KEYS, "")
    for key in ("homepage", "repository"):
        value = document.get(key)
        if isinstance(value, str) and not re.match(r"https?://[^\s/]+", value):
            yield _finding(
                "url", gettext_noop("“%(key)s” must be a web address beginning with https://."), key=key
            )
    version = document.get("version")
    if isinstance(version, str) and not _SEMVER.fullmatch(version):
        message = gettext_noop("“version” must be a semantic version such as 1.0.0, not “%(version)s”.")
        yield _finding("version", message, version=printable(version))
    yield from _license(document.get("license"))
    yield from _people(document)
    extensions = document.get("extensions", {})
    if not isinstance(extensions, dict):
        yield _finding("type", gettext_noop("“%(key)s” must be an object."), key="extensions")
        return
    for key, value in extensions.items():
        if not _REVERSE_DOMAIN.fullmatch(key) or not isinstance(value, dict):
            message = gettext_noop(
                "“extensions” may only hold objects under reverse domain names, not “%(key)s”."
            )
            yield _finding("extension-key", message, key=printable(key))
    if EXTENSION not in extensions:
        message = gettext_noop(
            "“extensions” has no “%(key)s”. Add it: it says what the plugin holds and asks for."
        )
        yield _finding("extension-missing", message, key=EXTENSION)


def _texts(owner: dict[str, Any], keys: dict[str, int], prefix: str) -> Iterator[Finding]:
    for key, limit in keys.items():
        if key not in owner:
            continue
        value = owner[key]
        if not isinstance(value, str) or not value.strip() or len(value) > limit:
            message = gettext_noop("“%(key)s” must be a text of 1 to %(limit)d characters.")
            yield _finding("text", message, key=prefix + key, limit=limit)


def _people(document: dict[str, Any]) -> Iterator[Finding]:
    author = document.get("author", {"name": "-"})
    if not isinstance(author, dict) or "name" not in author or author.keys() - _AUTHOR_KEYS:
        message = gettext_noop("“author” must be an object with “name” and, if you like, “email” and “url”.")
        yield _finding("author", message)
    else:
        yield from _texts(author, _AUTHOR_KEYS, "author.")
    keywords = document.get("keywords", [])
    if (
        not isinstance(keywords, list)
        or len(keywords) > 32
        or not all(isinstance(word, str) and 0 < len(word) <= 64 for word in keywords)
    ):
        yield _finding("keywords", gettext_noop("“keywords” must be a list of at most 32 short texts."))


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


def license_symbols(expression: str) -> list[str]:
    """Return the licence identifiers of an SPDX expression; raise ValueError if it is not a valid one.

    `LicenseRef-…` identifiers are allowed, as the SPDX specification does for licences that are not on its list.
    """
    placeholder = _LICENSE_REF.sub("Apache-2.0", expression)
    try:
        parsed = _licensing().parse(placeholder, validate=True, strict=True)
    except (ExpressionError, RecursionError, AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error
    if parsed is None:
        raise ValueError("empty licence expression")
    return sorted({*_LICENSE_REF.findall(expression), *(str(key) for key in parsed.symbols)})


def _license(value: Any) -> Iterator[Finding]:
    if not isinstance(value, str) or not value.strip() or len(value) > _TEXT_KEYS["license"]:
        return  # reported as a missing or unfit text
    try:
        license_symbols(value)
    except ValueError:
        message = gettext_noop(
            "“%(license)s” is not an SPDX licence expression. Use an identifier from spdx.org/licenses such as "
            "Apache-2.0, or LicenseRef-NAME together with a LICENSE file."
        )
        yield _finding("license", message, license=printable(value))


@cache
def _extension_validator() -> jsonschema.Draft202012Validator:
    path = Path(__file__).parent / "schemas" / "dev.openclaw.v1.schema.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text("utf-8")))


def _extension(extension: dict[str, Any]) -> Iterator[Finding]:
    found = False
    for error in sorted(_extension_validator().iter_errors(extension), key=lambda error: error.json_path)[
        :20
    ]:
        found = True
        where = EXTENSION + error.json_path.removeprefix("$")
        if error.validator == "anyOf" and not error.absolute_path:
            message = gettext_noop("“%(where)s” names neither a model nor a skill. Add “models” or “skills”.")
            yield _finding("nothing-offered", message, where=where)
            continue
        message = gettext_noop("“%(where)s” is not as the schema wants it: %(problem)s.")
        yield _finding("extension", message, where=printable(where), problem=printable(error.message, 200))
    if not found:
        yield from _meaning(extension)


def _meaning(extension: dict[str, Any]) -> Iterator[Finding]:
    """What a JSON Schema cannot say: names unique, paths inside, entry points that match, schemas that are valid."""
    models, skills = extension.get("models", []), extension.get("skills", [])
    for kind, items in (("models", models), ("skills", skills)):
        yield from _unique(kind, [item["name"] for item in items])
    for model in models:
        for side in ("inputs", "outputs"):
            yield from _unique(f"{model['name']}.{side}", [tensor["name"] for tensor in model[side]])
        for key in ("artifact", "card"):
            yield from _path(f"{model['name']}.{key}", model[key])
    for skill in skills:
        match = _ENTRYPOINT.fullmatch(skill["entrypoint"])
        if match is None or match["skill"] != skill["name"]:
            message = gettext_noop(
                "The entry point of “%(skill)s” must look like skills/%(skill)s/scripts/skill.py:run."
            )
            yield _finding("entrypoint", message, skill=skill["name"])
        else:
            yield from _path(f"{skill['name']}.entrypoint", match["path"])
        for key in ("input_schema", "output_schema"):
            yield from _json_schema(skill["name"], key, skill[key])
    for host in extension["permissions"]["network"]["allow"]:
        port = host.partition(":")[2]
        if port and not 0 < int(port) < 65536:
            yield _finding("port", gettext_noop("“%(host)s” has no valid port."), host=host)


def _unique(where: str, names: list[str]) -> Iterator[Finding]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        message = gettext_noop("“%(where)s” has the name “%(name)s” twice. Give each its own name.")
        yield _finding("duplicate-name", message, where=where, name=printable(name))


def _path(where: str, path: str) -> Iterator[Finding]:
    if any(True for _ in name_problems(path)):
        message = gettext_noop("“%(where)s” must be a plain path inside the plugin's folder, not “%(path)s”.")
        yield _finding("path", message, where=where, path=printable(path))


_NESTED_REPEAT = re.compile(r"\([^()]*[*+}][^()]*\)\s*[*+{]")
_MAX_PATTERN = 200


def _json_schema(skill: str, key: str, schema: dict[str, Any]) -> Iterator[Finding]:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except (jsonschema.SchemaError, re.error, RecursionError, OverflowError) as error:
        problem = error.message if isinstance(error, jsonschema.SchemaError) else str(error)
        message = gettext_noop("“%(key)s” of “%(skill)s” is not a valid JSON Schema (2020-12): %(problem)s.")
        yield _finding("json-schema", message, key=key, skill=skill, problem=printable(problem, 200))
        return
    for keyword, value in _keywords(schema):
        if keyword in ("$ref", "$dynamicRef", "$id") and not _resolves(schema, value):
            message = gettext_noop(
                "“%(key)s” of “%(skill)s” refers to “%(target)s”, which is not in it. Put all of it in plugin.json."
            )
            yield _finding("json-schema-ref", message, key=key, skill=skill, target=printable(value))
        # A pattern runs in the web process on every call; one that backtracks without end would stop it.
        if keyword == "pattern" and (len(value) > _MAX_PATTERN or _NESTED_REPEAT.search(value)):
            message = gettext_noop(
                "“%(key)s” of “%(skill)s” has a pattern that may take forever. Write a simpler one."
            )
            yield _finding("json-schema-pattern", message, key=key, skill=skill)


def _resolves(schema: dict[str, Any], reference: str) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    target: Any = schema
    for part in reference[2:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or part not in target:
            return False
        target = target[part]
    return isinstance(target, dict | bool)


def _keywords(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the keywords with a text value, and the keys of `patternProperties`, at any depth."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                yield key, item
            elif key == "patternProperties" and isinstance(item, dict):
                yield from (("pattern", pattern) for pattern in item)
            yield from _keywords(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keywords(item)
