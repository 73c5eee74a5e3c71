"""JSON Schemas of skills: what they may contain, and holding a value against one.

A schema is a publisher's, and it is evaluated in our own process on every call. So its regular expressions run in
linear time (Rust's engine, which has no look-around and no back-references), and nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import jsonschema_rs
from django.utils.translation import gettext as _

from governance.errors import InvalidInput

MAX_PROBLEMS = 10


def check_schema(schema: Any, kind: str) -> None:
    """Raise InvalidInput unless it is a JSON Schema 2020-12 that stands by itself."""
    if not isinstance(schema, dict):
        raise InvalidInput(_("The %(kind)s is not a JSON Schema.") % {"kind": kind})
    for keyword, value in _keywords(schema):
        if keyword in ("$ref", "$dynamicRef", "$id") and not str(value).startswith("#"):
            raise InvalidInput(_("The %(kind)s refers to another document.") % {"kind": kind})
    try:
        _validator(schema)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            _("The %(kind)s is not a JSON Schema that can be used here.") % {"kind": kind},
            hint=str(error).partition("\n")[0][:200],
        ) from error


def problems(schema: dict[str, Any], value: Any) -> list[dict[str, str]]:
    """What is wrong with a value, each with a JSON pointer (RFC 6901)."""
    return [
        {"pointer": "/" + "/".join(map(str, error.instance_path)), "detail": error.message[:300]}
        for error in islice(_validator(schema).iter_errors(value), MAX_PROBLEMS)
    ]


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions())


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every keyword of a schema and its sub-schemas. Names of properties are no keywords."""
    if isinstance(schema, list):
        for item in schema:
            yield from _keywords(item)
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        yield keyword, value
        if keyword in ("properties", "patternProperties", "$defs", "dependentSchemas"):
            yield from _keywords(list(value.values()) if isinstance(value, dict) else value)
        elif keyword not in ("enum", "const", "default", "examples"):
            yield from _keywords(value)
