"""The beat's messages are placed when they are queued, wait in the queue of that place, and never stop the beat."""

from __future__ import annotations

import json

import pytest
from celery import current_app
from celery.beat import PersistentScheduler
from django.db import OperationalError

from governance.data import placement
from governance.data.placement_log import log
from governance.errors import Conflict
from governance.tenants import tasks
from governance.tenants.tasks import HEADER
from openclaw_site.beat import PlacingScheduler
from openclaw_site.schedule import BEAT_SCHEDULE

pytestmark = pytest.mark.usefixtures("valkey")


@pytest.fixture
def beat(tmp_path):
    current_app.loader.import_default_modules()
    made = PlacingScheduler(app=current_app, schedule_filename=str(tmp_path / "schedule"))
    yield made
    made.close()


def waiting(queue):
    """The messages of a queue, oldest first."""
    with current_app.connection_for_read() as connection:
        found = connection.default_channel.client.lrange(queue, 0, -1)
    return [json.loads(message) for message in reversed(found)]


def entry(beat, task):
    return next(found for found in beat.schedule.values() if found.task == task)


def test_it_is_the_scheduler_that_the_beat_runs():
    assert issubclass(PlacingScheduler, PersistentScheduler)
    assert current_app.conf.beat_scheduler == "openclaw_site.beat:PlacingScheduler"


@pytest.mark.parametrize("task", BEAT_SCHEDULE)
def test_every_entry_is_placed_at_home_without_asking_the_database(beat, task):
    """No database is open to this test, so a query would fail."""
    queue = BEAT_SCHEDULE[task]["options"]["queue"]
    log.forget()
    beat.apply_entry(entry(beat, task))
    (message,) = waiting(queue)
    assert message["headers"]["task"] == task
    header = message["headers"][HEADER]
    assert (header["workload"], header["assets"], header["platform"]) == (queue, [], False)
    assert header["cause"] == tasks.Cause.house(None).as_header()
    (placed,) = [key[1] for key in log._buffer]
    assert (placed.task, placed.workload, placed.pool, placed.on_data) == (task, queue, "private", False)
    log.forget()


def test_it_goes_where_the_placer_says(beat, monkeypatch):
    class Elsewhere(placement.Placer):
        def queue_for(self, work):
            return tasks.queue_name(work.workload, "ward-3")

    monkeypatch.setattr(tasks, "_placer", Elsewhere())
    beat.apply_entry(entry(beat, "audit.retain"))
    beat.apply_entry(entry(beat, "audit.retain"))
    assert len(waiting("default@ward-3")) == 2
    assert not waiting("default")
    assert waiting("default@ward-3")[0]["headers"][HEADER]["workload"] == "default"


class Failing(placement.Placer):
    def __init__(self, error):
        self.error = error

    def queue_for(self, work):
        raise self.error


def test_what_is_refused_is_not_sent_and_the_next_is(beat, monkeypatch, caplog):
    with monkeypatch.context() as patched:
        patched.setattr(tasks, "_placer", Failing(Conflict("not today")))
        beat.apply_entry(entry(beat, "audit.retain"))
    assert not waiting("default")
    assert "audit.retain is not sent: not today" in caplog.text
    beat.apply_entry(entry(beat, "audit.retain"))
    assert len(waiting("default")) == 1


def test_what_cannot_be_placed_stays_at_home(beat, monkeypatch):
    monkeypatch.setattr(tasks, "_placer", Failing(OperationalError("the database is away")))
    beat.apply_entry(entry(beat, "audit.retain"))
    (message,) = waiting("default")
    assert HEADER not in message["headers"]


def test_a_tick_goes_on_whatever_fails(beat, monkeypatch):
    """Beat's own loop: an entry that is due is sent, and the time of the next is told."""
    monkeypatch.setattr(tasks, "_placer", Failing(OperationalError("the database is away")))
    for known in beat.schedule.values():
        known.last_run_at = known.last_run_at.replace(year=2020)
    for _ in beat.schedule:
        assert beat.tick() >= 0
    assert len(waiting("default")) > 10
