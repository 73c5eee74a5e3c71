"""What somebody can have done in the ground floor, found in the code, and what a module's source reaches."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import governance

FACES = ("views", "api", "admin", "management", "migrations")


def is_face(name: str) -> bool:
    return any(part in FACES or part.endswith(("_views", "_api")) for part in name.split("."))


def full_name(found: object) -> str:
    return f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"


@cache
def acts() -> frozenset[str]:
    """Every public function that does something in somebody's name: it takes `principal` as a keyword."""
    found = set()
    for module in pkgutil.walk_packages(governance.__path__, "governance."):
        if is_face(module.name):
            continue
        for name, member in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or not inspect.isfunction(member):
                continue
            given = inspect.signature(member).parameters.get("principal")
            if given is not None and given.kind is given.KEYWORD_ONLY:
                found.add(full_name(member))
    return frozenset(name for name in found if name.startswith("governance.") and not is_face(name))


def named(path: Path) -> Iterator[Any]:
    """The things of the ground floor that a file names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("governance"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                imported[alias.asname or alias.name] = getattr(module, alias.name)
    yield from _named_in(tree, imported)


def used(path: Path) -> Iterator[str]:
    """The full names of the functions that a file names."""
    return map(full_name, named(path))


def reached(paths: Iterable[Path]) -> frozenset[str]:
    """The full names of the functions that files name, and those that these name in their turn."""
    waiting = [thing for path in paths for thing in named(path)]
    seen: set[str] = set()
    while waiting:
        thing = inspect.unwrap(waiting.pop()) if inspect.isfunction(waiting[-1]) else waiting.pop()
        name = full_name(thing)
        if not isinstance(thing, FunctionType) or not name.startswith("governance.") or name in seen:
            continue
        seen.add(name)
        source = ast.parse(textwrap.dedent(inspect.getsource(thing)))
        waiting += _named_in(source, thing.__globals__)
    return frozenset(seen)


def _named_in(tree: ast.AST, known: dict[str, Any]) -> Iterator[Any]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in known:
            yield known[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield getattr(known.get(node.value.id), node.attr, None)
