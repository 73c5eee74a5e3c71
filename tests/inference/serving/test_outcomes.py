"""Outcome records: buffered, bounded, written behind the requests, never lost to one bad record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from governance.ids import uuid7
from inference.serving.metrics import OUTCOMES_DROPPED
from inference.serving.outcomes import Outcome, OutcomeLog, UnacceptableOutcome


def outcome(status: int = 200) -> Outcome:
    now = datetime.now(UTC)
    return Outcome(uuid7(), uuid7(), uuid7(), uuid7(), now, 1000, status, 1, 300, "client", "")


class Table:
    """Where records end up; it can be away, and refuses records with status 0."""

    def __init__(self) -> None:
        self.rows: dict[object, Outcome] = {}
        self.away = False
        self.writes = 0

    def write(self, outcomes: Sequence[Outcome]) -> None:
        self.writes += 1
        if self.away:
            raise ConnectionError("away")
        if any(one.status == 0 for one in outcomes):
            raise UnacceptableOutcome("status 0")
        self.rows.update({one.id: one for one in outcomes})


def dropped() -> float:
    # The counter alone: the registry would also ask the database.
    return next(s.value for m in OUTCOMES_DROPPED.collect() for s in m.samples if s.name.endswith("_total"))


async def test_records_are_written_soon_and_the_last_ones_at_the_end() -> None:
    table = Table()
    log = OutcomeLog(table.write, interval_s=0.01)
    log.start()
    for _ in range(3):
        log.add(outcome())
    await asyncio.sleep(0.1)
    assert len(table.rows) == 3
    log.add(outcome())
    await log.stop()
    assert len(table.rows) == 4


def test_records_are_written_in_chunks() -> None:
    table = Table()
    log = OutcomeLog(table.write, chunk=10)
    for _ in range(25):
        log.add(outcome())
    assert log.flush()
    assert (len(table.rows), table.writes) == (25, 3)


def test_a_full_buffer_drops_and_counts() -> None:
    log = OutcomeLog(Table().write, capacity=5)
    before = dropped()
    for _ in range(8):
        log.add(outcome())
    assert len(log) == 5
    assert dropped() == before + 3


def test_records_wait_while_the_database_is_away() -> None:
    table = Table()
    log = OutcomeLog(table.write)
    table.away = True
    made = [outcome() for _ in range(4)]
    for one in made:
        log.add(one)
    assert not log.flush()
    assert len(log) == 4
    table.away = False
    assert log.flush()
    assert list(table.rows.values()) == made


def test_one_bad_record_does_not_hold_up_the_others() -> None:
    table = Table()
    log = OutcomeLog(table.write)
    before = dropped()
    for number in range(100):
        log.add(outcome(status=0 if number in (17, 63) else 200))
    assert log.flush()
    assert len(table.rows) == 98
    assert dropped() == before + 2
