"""What kind of process this is, as the audit log says it of what the house does by itself."""

from __future__ import annotations

from typing import Literal

Kind = Literal["web", "worker", "beat", "command"]

_kind: Kind = "command"


def process_kind() -> Kind:
    """`command` for whatever did not say what it is: a management command, or somebody at a prompt."""
    return _kind


def set_process_kind(kind: Kind) -> None:
    """Said once by the entry of a process, before it does anything; its children inherit it."""
    global _kind
    _kind = kind
