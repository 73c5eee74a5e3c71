"""What waits in a version's queue: one caller's rows, and how the wait ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from inference.serving.datatypes import Tensors
from inference.serving.errors import ProtocolError
from inference.serving.fairness import NOBODY

Gone = Callable[[], Coroutine[Any, Any, None]]


class DeadlineExceeded(ProtocolError):
    """The caller's time ran out before its rows were computed."""

    def __init__(self) -> None:
        super().__init__(504, "the deadline passed before the prediction was made")


class CallerGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(eq=False, slots=True)
class Entry:
    """One caller's rows. `form` is what must agree between rows of one batch: names, datatypes, other dimensions."""

    inputs: Tensors
    rows: int
    form: tuple[object, ...]
    future: asyncio.Future[Tensors]
    deadline: float
    tenant: UUID = NOBODY
    queued_at: float = field(default_factory=time.monotonic)
    gone: Gone | None = None
    watch: asyncio.Future[None] | None = None


async def watch(entry: Entry, gone: Gone) -> None:
    """End the wait of an entry whose caller hangs up."""
    await gone()
    if not entry.future.done():
        entry.future.set_exception(CallerGone())


def deliver(batch: list[Entry], answers: list[Tensors | Exception]) -> None:
    """Hand every caller its own answer. In the event loop."""
    for entry, answer in zip(batch, answers, strict=True):
        if entry.future.done():
            continue
        if isinstance(answer, Exception):
            entry.future.set_exception(answer)
        else:
            entry.future.set_result(answer)
