"""Counting the inputs of versions that have a training reference, behind the requests.

The hot route only keeps a few rows of what it just computed, at most `ROWS_A_SECOND` of a version in a process; for a
version without a reference it does nothing. The thread that writes outcome records counts them in the reference's bins
and writes the counts, by version and minute. No value leaves this process.

The first rows of each second are taken, and of a large batch evenly spaced ones.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid4

import numpy as np

from inference.serving import metrics
from inference.serving.datatypes import Tensor, Tensors

log = logging.getLogger(__name__)

ROWS_A_SECOND = 64
# What waits to be counted holds at most about so much of a version's inputs; large rows are taken more rarely.
WAITING_BYTES = 2 << 20
WRITE_EVERY_S = 5.0
MAX_VERSIONS = 256
# Minutes that could not be written yet. Older ones are dropped and counted.
MAX_MINUTES = 30


class Feature(Protocol):
    """Something of each row of an input that is counted in bins."""

    @property
    def name(self) -> str: ...
    @property
    def input(self) -> str: ...
    def count(self, rows: Tensor) -> list[int]:
        """The counts of rows (one a line) by bin, and last how many had no finite number."""


class Bins(Protocol):
    """The features of a version with their bins."""

    @property
    def features(self) -> Sequence[Feature]: ...


class Referenced(Protocol):
    """The training reference of an arm: what it is told apart by, and its bins."""

    @property
    def revision(self) -> UUID: ...
    @property
    def profile(self) -> Bins: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of one version, in one minute, by one process so far: writing them again replaces them.

    `counts` are, by feature, those of its bins, and last how many values were no finite numbers.
    """

    tenant_id: UUID
    model_version_id: UUID
    revision: UUID
    at: datetime
    writer: UUID
    rows: int
    counts: dict[str, list[int]]


@dataclass(slots=True)
class _Minute:
    rows: int = 0
    counts: dict[str, list[int]] = field(default_factory=dict)
    changed: bool = True


class InputCounter:
    """The inputs of one version in this process. `offer` is called in the event loop, the rest in one thread."""

    __slots__ = (
        "_left",
        "_next",
        "_room",
        "_waiting",
        "minutes",
        "names",
        "profile",
        "revision",
        "tenant_id",
        "version_id",
    )

    def __init__(self, tenant_id: UUID, version_id: UUID, reference: Referenced) -> None:
        self.tenant_id = tenant_id
        self.version_id = version_id
        self.revision = reference.revision
        self.profile = reference.profile
        self.names = tuple({feature.input: None for feature in self.profile.features})
        self.minutes: dict[int, _Minute] = {}
        self._waiting: list[tuple[int, Tensors]] = []
        self._next = 0.0
        self._left = 0
        self._room = WAITING_BYTES

    @property
    def waits(self) -> bool:
        """Whether something is to be counted."""
        return bool(self._waiting)

    def waits_for(self, minute: int) -> bool:
        """Whether rows of that minute are yet to be counted."""
        return any(minute == other for other, _inputs in tuple(self._waiting))

    def offer(self, inputs: Tensors, rows: int) -> None:
        """Keep copies of some rows of a computed request to be counted, within the bounds."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 1.0
            self._left = ROWS_A_SECOND
        if self._left <= 0 or self._room <= 0 or not rows:
            return
        given = [(name, inputs[name]) for name in self.names]
        row_bytes = sum(tensor.nbytes for _name, tensor in given) // rows
        # A row that is larger than all room is taken alone, so that no version goes uncounted.
        most = max(self._room // max(row_bytes, 1), self._room == WAITING_BYTES)
        take = min(rows, self._left, most)
        if not take:
            self._room = 0
            return
        every = -(-rows // take)
        # Copies: a view would keep the request's whole body in memory.
        kept = {name: tensor[::every].copy() for name, tensor in given}
        self._left -= take
        self._room -= sum(map(_held_bytes, kept.values()))
        self._waiting.append((int(time.time()) // 60, kept))

    def count(self) -> None:
        """Count what waits. Rows of another form than the reference's are left out."""
        waiting, self._waiting, self._room = self._waiting, [], WAITING_BYTES
        by_minute: dict[int, list[Tensors]] = {}
        for minute, inputs in waiting:
            by_minute.setdefault(minute, []).append(inputs)
        for minute, pieces in by_minute.items():
            kept = self.minutes.setdefault(minute, _Minute())
            kept.changed = True
            kept.rows += sum(len(next(iter(piece.values()))) for piece in pieces)
            joined = {name: list(_together([piece[name] for piece in pieces])) for name in self.names}
            for feature in self.profile.features:
                for rows in joined[feature.input]:
                    found = feature.count(rows)
                    before = kept.counts.get(feature.name)
                    kept.counts[feature.name] = (
                        found if before is None else [a + b for a, b in zip(before, found, strict=True)]
                    )


class InputCounts:
    """The counters of this process, and how their counts are written: with `write`, a blocking function.

    `write` replaces what the same process wrote of the same version and minute.
    """

    def __init__(self, write: Callable[[Sequence[Counted]], None]) -> None:
        self._write = write
        self._writer = uuid4()
        self._counters: OrderedDict[tuple[UUID, UUID], InputCounter] = OrderedDict()
        self._lock = threading.Lock()
        self._due = 0.0

    def of(self, tenant_id: UUID, version_id: UUID, reference: Referenced | None) -> InputCounter | None:
        """The counter of a version; None for one without a reference."""
        if reference is None:
            return None
        key = (version_id, reference.revision)
        with self._lock:
            counter = self._counters.get(key)
            if counter is None:
                counter = self._counters[key] = InputCounter(tenant_id, version_id, reference)
                if len(self._counters) > MAX_VERSIONS:
                    self._counters.popitem(last=False)
            self._counters.move_to_end(key)
        return counter

    @property
    def due(self) -> bool:
        """Whether it is time to write something."""
        return time.monotonic() >= self._due and any(
            counter.waits or counter.minutes for counter in tuple(self._counters.values())
        )

    def flush(self) -> None:
        """Count and write. What cannot be written is kept for the next time; called in a thread."""
        self._due = time.monotonic() + WRITE_EVERY_S
        with self._lock:
            counters = list(self._counters.values())
        for counter in counters:
            try:
                self._flush(counter)
            except Exception:
                log.exception("the inputs of version %s could not be counted", counter.version_id)

    def _flush(self, counter: InputCounter) -> None:
        if counter.waits:
            counter.count()
        changed = [(minute, kept) for minute, kept in sorted(counter.minutes.items()) if kept.changed]
        while len(changed) > MAX_MINUTES:
            minute, kept = changed.pop(0)
            del counter.minutes[minute]
            metrics.INPUTS_DROPPED.inc(kept.rows)
        if changed:
            self._write([self._counted(counter, minute, kept) for minute, kept in changed])
            for _minute, kept in changed:
                kept.changed = False
        now = int(time.time()) // 60
        for minute in [minute for minute, kept in counter.minutes.items() if minute < now - 1]:
            if not counter.minutes[minute].changed and not counter.waits_for(minute):
                del counter.minutes[minute]

    def _counted(self, counter: InputCounter, minute: int, kept: _Minute) -> Counted:
        return Counted(
            tenant_id=counter.tenant_id,
            model_version_id=counter.version_id,
            revision=counter.revision,
            at=datetime.fromtimestamp(60 * minute, UTC),
            writer=self._writer,
            rows=kept.rows,
            counts=kept.counts,
        )


def _held_bytes(tensor: Tensor) -> int:
    """What a tensor keeps in memory; of texts, whose tensor holds pointers, their own length too."""
    return tensor.nbytes + (sum(map(len, tensor.flat)) if tensor.dtype.hasobject else 0)


def _together(tensors: list[Tensor]) -> Iterator[Tensor]:
    """Tensors with one row a line, those of one width in one piece."""
    by_width: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        rows = tensor.reshape(len(tensor), -1)
        by_width.setdefault(rows.shape[1], []).append(rows)
    for rows_of in by_width.values():
        yield rows_of[0] if len(rows_of) == 1 else np.concatenate(rows_of)
