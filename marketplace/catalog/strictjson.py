"""JSON that means the same to every reader: no duplicate keys, no NaN, no text a database would refuse."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_TEXT = 16_384


class StrictJSONError(ValueError):
    """The text is not JSON as this module accepts it; the message says what is wrong and where."""


def loads(data: bytes, *, max_items: int) -> Any:
    """Parse UTF-8 JSON; raise StrictJSONError and nothing else.

    `max_items` bounds every list and object, so that no rule that compares items with each other runs for long.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"byte {error.start} is not UTF-8") from error
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise StrictJSONError("it is nested too deeply") from error
    except ValueError as error:  # a number with thousands of digits, or one of the hooks below
        raise StrictJSONError(str(error)) from error
    _check(value, 0, max_items)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise StrictJSONError(f"the key {ascii(twice)[:80]} is given twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"{name} is not a JSON value")


def _check(value: Any, depth: int, max_items: int) -> None:
    if depth > MAX_DEPTH:
        raise StrictJSONError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, list | dict) and len(value) > max_items:
        raise StrictJSONError(f"a list or object has more than {max_items} items")
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise StrictJSONError(f"a text is longer than {MAX_TEXT} characters")
        if any(("\ud800" <= char <= "\udfff") or (char < " " and char not in "\t\n\r") for char in value):
            raise StrictJSONError("a text has a control character or half of a surrogate pair")
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise StrictJSONError("a number is too large")
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1, max_items)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth + 1, max_items)
            _check(item, depth + 1, max_items)
