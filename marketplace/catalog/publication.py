"""How the rooms above hear of a version's way to the public, in the transaction in which it happens.

Review and distribution stand side by side and do not know each other; both know the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from governance.principals import Principal

if TYPE_CHECKING:
    from marketplace.catalog.models import PluginVersion


class Step(StrEnum):
    """What happened to the version."""

    STARTED = "started"
    FAILED = "failed"
    PUBLISHED = "published"
    BLOCKED = "blocked"


Listener = Callable[["PluginVersion", Step, Principal, str], None]
_listeners: list[Listener] = []


def on_step(listener: Listener) -> None:
    """Call `listener(version, step, principal, detail)` inside the transaction of every step."""
    if listener not in _listeners:
        _listeners.append(listener)


def tell(version: PluginVersion, step: Step, *, principal: Principal, detail: str = "") -> None:
    """Tell every listener."""
    for listener in _listeners:
        listener(version, step, principal, detail)
