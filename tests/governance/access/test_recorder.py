"""Decisions are counted behind the request: equal ones together, none lost below the limit, none ever in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import OperationalError

from governance.access.recorder import Recorder
from governance.decision import Decision
from governance.principals import SYSTEM

YES = Decision(True, "a.b.c", ("role system",), SYSTEM)
NO = replace(YES, allow=False)


@pytest.fixture
def recorder():
    made = Recorder(max_buffered=3)
    made.background = False
    return made


def test_equal_decisions_are_counted_together_and_the_clock_makes_no_difference(recorder):
    batches = []
    recorder.subscribe(lambda batch: batches.append([(r.decision.allow, r.count) for r in batch]))
    for hour in range(3):
        recorder.note(YES, {"context": {"amount": 1, "hour": hour, "now": hour}})
    recorder.note(YES, {"context": {"amount": 2, "hour": 0, "now": 0}})
    recorder.note(NO, {"context": {"amount": 1, "hour": 0, "now": 0}})
    recorder.flush()
    recorder.flush()
    assert batches == [[(True, 3), (True, 1), (False, 1)]]


def test_a_full_buffer_drops_new_questions_and_says_how_many(recorder):
    seen = []
    recorder.subscribe(seen.extend)
    for number in range(5):
        recorder.note(replace(YES, action=f"a.b.{number}"), {})
    recorder.note(replace(YES, action="a.b.0"), {})
    recorder.flush()
    assert recorder.dropped == 2
    assert [(r.decision.action, r.count) for r in seen] == [("a.b.0", 2), ("a.b.1", 1), ("a.b.2", 1)]


def test_a_sink_that_fails_takes_nothing_from_the_others(recorder, caplog):
    def broken(_batch):
        raise RuntimeError("no database")

    seen = []
    recorder.subscribe(broken)
    recorder.subscribe(seen.extend)
    recorder.note(YES, {})
    recorder.flush()
    assert len(seen) == 1
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize("times", [1, 3])
def test_a_connection_that_went_away_between_tasks_costs_nothing(recorder, caplog, times):
    seen = []

    def closed(batch):
        seen.append(len(batch))
        if len(seen) <= times:
            raise OperationalError("the pool is closed")

    recorder.subscribe(closed)
    recorder.note(YES, {})
    recorder.flush()
    assert seen == [1] * (times + 1)
    assert not caplog.text


def test_without_a_sink_nothing_is_buffered(recorder):
    recorder.note(YES, {})
    seen = []
    recorder.subscribe(seen.extend)
    recorder.flush()
    assert not seen
