"""What a version's own runs teach: costs, caps, windows, early refusals. Clocks are given, so nothing waits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.serving.pacing import AGAIN_S, LEARNT_AFTER_RUNS, MAX_GAP_S, STANDING_S, Pace

SIZES = [1, 3, 2, 8, 1, 5, 4, 32, 16, 1, 2, 7]


def taught(fixed_s: float, per_row_s: float, sizes: list[int] | None = None, **options: float) -> Pace:
    pace = Pace(options.pop("objective_s", 1.0), max_rows=32)
    for number, rows in enumerate(sizes or SIZES):
        pace.ran(rows, fixed_s + rows * per_row_s, float(number))
    return pace


def arrivals(pace: Pace, gap_s: float, count: int = 60) -> Pace:
    for number in range(count):
        pace.arrived(number * gap_s)
    return pace


@given(st.floats(0, 0.1), st.floats(1e-5, 0.01))
def test_fixed_and_per_row_costs_are_found(fixed_s: float, per_row_s: float) -> None:
    pace = taught(fixed_s, per_row_s)
    assert abs(pace.fixed_s - fixed_s) < 1e-6 + 0.01 * fixed_s
    assert abs(pace.per_row_s - per_row_s) < 1e-6 + 0.01 * per_row_s


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 100)), min_size=1, max_size=60))
def test_no_history_makes_nonsense_of_it(runs: list[tuple[int, float]]) -> None:
    pace = Pace(1.0, max_rows=32)
    for number, (rows, seconds) in enumerate(runs):
        pace.ran(rows, seconds, float(number))
    assert pace.fixed_s >= -1e-9
    assert pace.per_row_s >= 0
    assert 1 <= pace.row_cap() <= 32
    assert pace.wait_s(rows=10, requests=5) >= 0
    assert 0 <= pace.window_s() <= 0.1


def test_nothing_is_refused_before_something_was_learnt() -> None:
    pace = taught(1.0, 1.0, [1] * (LEARNT_AFTER_RUNS - 1))
    assert pace.wait_s(rows=1000, requests=1000) == 0
    assert pace.row_cap() == 32
    assert arrivals(pace, 0.0001).window_s() == 0


def test_a_stall_of_the_machine_is_not_taken_for_the_models_pace() -> None:
    pace = taught(0.0, 0.001, [1] * 50)
    pace.ran(1, 5.0, 51.0)
    assert pace.wait_s(rows=10, requests=10) < 0.02


@given(st.floats(0.0, 0.2), st.floats(1e-4, 0.1), st.floats(0.01, 2))
def test_a_batch_takes_at_most_half_of_the_objective(
    fixed_s: float, per_row_s: float, objective_s: float
) -> None:
    pace = taught(fixed_s, per_row_s, objective_s=objective_s)
    cap = pace.row_cap()
    assert cap == 1 or fixed_s + cap * per_row_s <= objective_s / 2 * 1.05 + 1e-4


def test_waiting_pays_only_for_slow_models_under_load() -> None:
    """At low load, and for models whose runs cost little beside their rows, nobody waits for company."""
    slow, fast = (lambda: taught(0.02, 0.001)), (lambda: taught(0.0001, 0.001))
    assert abs(arrivals(slow(), 0.001).window_s() - 0.01) < 1e-9
    assert arrivals(slow(), 0.5).window_s() == 0
    assert arrivals(fast(), 0.0001).window_s() == 0
    assert slow().window_s() == 0
    # The window never takes more than a tenth of the objective.
    assert abs(arrivals(taught(0.02, 0.001, objective_s=0.05), 0.001).window_s() - 0.005) < 1e-9


@given(st.floats(0.002, 1), st.floats(1e-4, MAX_GAP_S))
@settings(max_examples=30, deadline=None)
def test_a_window_always_expects_somebody(fixed_s: float, gap_s: float) -> None:
    window_s = arrivals(taught(fixed_s, 0.0001, SIZES[:8]), gap_s).window_s()
    assert window_s == 0 or gap_s <= window_s * 1.01 + 1e-4


def test_a_burst_is_worked_off_and_a_standing_queue_is_not() -> None:
    pace = taught(0.0, 0.01, objective_s=0.5)
    assert not pace.overloaded(10.0, 0.9)
    assert not pace.overloaded(10.0 + STANDING_S / 2, 0.9)
    assert pace.overloaded(10.1 + STANDING_S, 0.9)
    assert not pace.overloaded(10.2 + STANDING_S, 0.5)
    assert pace.overloaded(10.3 + STANDING_S, 0.6), "it still stands"
    assert not pace.overloaded(10.4 + STANDING_S, 0.25)
    assert not pace.overloaded(11.0, 0.9), "it stands anew"


def test_under_a_short_objective_less_patience_is_due():
    pace = Pace(objective_s=STANDING_S / 2, max_rows=8)
    assert not pace.overloaded(10.0, STANDING_S)
    assert not pace.overloaded(10.0 + STANDING_S / 3, STANDING_S)
    assert pace.overloaded(10.0 + STANDING_S * 2 / 3, STANDING_S)


def test_a_queue_that_stood_a_moment_ago_is_not_let_grow_again() -> None:
    pace = taught(0.0, 0.01, objective_s=0.5)
    assert not pace.overloaded(10.0, 0.9)
    assert pace.overloaded(10.1 + STANDING_S, 0.9)
    assert not pace.overloaded(10.3, 0.1), "it came down"
    assert pace.overloaded(10.1 + STANDING_S + 0.9 * AGAIN_S, 0.9)
    assert not pace.overloaded(10.9, 0.1)
    assert not pace.overloaded(12.0, 0.9), "after a while it is a burst like any other"


def test_the_wait_is_what_the_runs_ahead_take() -> None:
    pace = taught(0.01, 0.001)
    assert pace.wait_s(rows=0, requests=0) == 0
    assert abs(pace.wait_s(rows=64, requests=64) - (2 * 0.01 + 64 * 0.001)) < 1e-3
    pace.batchable = False
    assert abs(pace.wait_s(rows=64, requests=64) - (64 * 0.011)) < 1e-2
