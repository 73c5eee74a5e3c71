"""The traffic split: shares as configured, and sessions that stay where they are."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.serving.split import choose

weights = st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(any)


@given(weights)
def test_an_arm_without_weight_is_never_chosen(shares: list[int]) -> None:
    assert all(shares[choose(shares)] > 0 for _ in range(20))


@given(weights, st.text(max_size=20))
def test_a_session_keeps_its_arm(shares: list[int], key: str) -> None:
    if key:
        assert len({choose(shares, key=key, salt="e") for _ in range(5)}) == 1


def test_shares_are_as_configured() -> None:
    for key in ("", "session"):
        chosen = Counter(choose([90, 10], key=key and f"{key}-{i}", salt="e") for i in range(20_000))
        assert 0.08 < chosen[1] / 20_000 < 0.12


@given(st.integers(0, 99), st.integers(1, 100), st.text(min_size=1, max_size=20))
def test_a_growing_canary_keeps_the_sessions_it_has(before: int, growth: int, key: str) -> None:
    after = min(100, before + growth)
    if choose([100 - before, before], key=key, salt="e") == 1:
        assert choose([100 - after, after], key=key, salt="e") == 1


def test_endpoints_do_not_share_their_canaries() -> None:
    keys = [f"session-{i}" for i in range(2000)]
    canaries = [{key for key in keys if choose([90, 10], key=key, salt=salt)} for salt in ("a", "b")]
    assert len(canaries[0] & canaries[1]) < 0.3 * len(canaries[0])


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no arm"):
        choose([0, 0])
