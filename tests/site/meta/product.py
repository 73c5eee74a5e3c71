"""Finding the parts of the product by import, so that a new one cannot be forgotten by the generated tests."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).resolve().parents[3]
AREAS = ("governance", "inference", "skills", "marketplace")


def modules(*names: str) -> Iterator[ModuleType]:
    """Every module of the product whose last name is one of `names`, imported."""
    for area in AREAS:
        package = importlib.import_module(area)
        for found in pkgutil.walk_packages(package.__path__, f"{area}."):
            if found.name.rpartition(".")[2] in names:
                yield importlib.import_module(found.name)


def sources(*roots: str) -> Iterator[Path]:
    """Every Python file below these folders of the checkout."""
    for root in roots:
        yield from sorted((CHECKOUT / root).rglob("*.py"))
