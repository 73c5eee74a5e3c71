"""What is counted of an experiment: the same in one go and in many looks, late feedback included."""

from __future__ import annotations

from datetime import timedelta

import pytest

from governance.tenants.context import tenant_context
from inference.rollouts.experiment_rollouts import start_experiment
from inference.rollouts.experiment_windows import LAG, Settled, Time, counted
from inference.rollouts.feedback import Item, give_feedback
from inference.rollouts.models import Rollout

pytestmark = pytest.mark.django_db

SHARES = {"1.0.0": 40, "2.0.0": 30, "3.0.0": 30}
AFTER = {"1.0.0": 70, "3.0.0": 30}
HOURS = 3


@pytest.fixture
def lasted(admin, endpoint, versions, inside):
    """An experiment as if it had begun three hours ago, with a treatment stopped in the middle; and its arms."""
    with tenant_context(admin.tenant_id):
        made = start_experiment(
            principal=admin, endpoint_id=endpoint.id, plan={"shares": SHARES, "effect": 0.1, "max_s": 90_000}
        )
    with inside():
        began = made.started_at - timedelta(hours=HOURS)
        Rollout.objects.filter(pk=made.pk).update(started_at=began)
        return Rollout.objects.get(pk=made.pk), {name: versions[name].id for name in SHARES}


@pytest.fixture
def answers(lasted, traffic):
    """Answers of every minute."""
    rollout, _ids = lasted
    written = []
    for minute in range(60 * HOURS):
        at = rollout.started_at + timedelta(minutes=minute, seconds=30)
        shares = SHARES if minute < 90 else AFTER
        for version, share in shares.items():
            written += traffic(version, share // 10, errors=0.3, slow=0.2, at=at, propensity=share / 100)
    return written


def at(rollout, minute):
    """The times of the experiment at that minute."""
    begin, change = rollout.started_at, rollout.started_at + timedelta(minutes=90)
    now = begin + timedelta(minutes=minute)
    if now <= change:
        return [Time(begin, now, SHARES, 1.0)]
    return [Time(begin, change, SHARES, 1.0), Time(change, now, AFTER, 4 / 7)]


def test_many_looks_count_what_one_look_counts(lasted, answers, inside):
    rollout, ids = lasted
    thresholds = {"p50": 1_000, "p99": 50_000}
    with inside():
        whole = counted(rollout, ids, at(rollout, 180), thresholds=thresholds, feedback=False)
        settled = Settled()
        for minute in (0, 1, 5, 30, 89, 90, 91, 95, 101, 150, 179, 180):
            found = counted(
                rollout, ids, at(rollout, minute), thresholds=thresholds, feedback=False, settled=settled
            )
            settled = Settled.from_json(found.settled.to_json())
    assert settled.until == rollout.started_at + timedelta(minutes=180) - LAG
    assert found.windows == whole.windows
    assert found.drawn == whole.drawn
    assert whole.windows["2.0.0"].requests == 90 * 3
    assert whole.windows["3.0.0"].requests == 180 * 3
    assert [drawn.counts for drawn in whole.drawn] == [
        {"1.0.0": 360, "2.0.0": 270, "3.0.0": 270},
        {"1.0.0": 630, "3.0.0": 270},
    ]
    assert 660 < whole.windows["1.0.0"].requests < 780, "four of seven, once the control has seven"
    assert whole.windows["3.0.0"].slower["p99"] > 0


def test_what_is_settled_is_not_read_again_and_what_is_new_is(lasted, answers, inside, traffic):
    rollout, ids = lasted
    with inside():
        first = counted(rollout, ids, at(rollout, 170), thresholds={}, feedback=False)
    late = rollout.started_at + timedelta(minutes=165)
    traffic("3.0.0", 5, at=late, propensity=0.3)
    with inside():
        again = counted(rollout, ids, at(rollout, 170), thresholds={}, feedback=False, settled=first.settled)
    assert again.windows["3.0.0"].requests == first.windows["3.0.0"].requests + 5
    with inside():
        other = counted(
            rollout, ids, at(rollout, 170), thresholds={"p99": 9}, feedback=False, settled=first.settled
        )
    assert other.windows["3.0.0"].slower["p99"] > 0, "other thresholds are counted from the beginning"


def test_feedback_that_comes_late_counts(lasted, answers, inside, admin):
    rollout, ids = lasted
    early = [row for row in answers if row.model_version_id == ids["2.0.0"]][:20]
    with inside():
        before = counted(rollout, ids, at(rollout, 180), thresholds={}, feedback=True)
        items = [Item(row.id, str(row.id), {"task_completed": n % 2 == 0}) for n, row in enumerate(early)]
        give_feedback(principal=admin, items=items)
        after = counted(rollout, ids, at(rollout, 180), thresholds={}, feedback=True, settled=before.settled)
    assert before.windows["2.0.0"].metric("task_completed").count == 0
    told = after.windows["2.0.0"].metric("task_completed")
    assert (told.count, told.hits) == (20, 10)


def test_nothing_yet(lasted, inside):
    rollout, ids = lasted
    with inside():
        found = counted(rollout, ids, [], thresholds={}, feedback=True)
    assert [window.requests for window in found.windows.values()] == [0, 0, 0]
    assert list(found.drawn) == []
