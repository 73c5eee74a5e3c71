"""The assurance level: what a factor proves, and what takes it away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.access.assurance import LEVELS, SECOND_FACTOR_S, assurance
from governance.principals import SYSTEM, Device, Factor, Principal, Signals

NOW = 1_000_000.0


def level(**signals) -> int:
    return assurance(someone(**signals), now=NOW).level


def someone(**signals) -> Principal:
    return Principal(kind="user", id="1", label="Ada", signals=Signals(**({"factor_at": NOW - 60} | signals)))


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({}, 0),
        ({"factor": Factor.PASSWORD}, 1),
        ({"factor": Factor.FEDERATED}, 1),
        ({"factor": Factor.SECRET}, 1),
        ({"factor": Factor.SECRET, "bound": True}, 2),
        ({"factor": Factor.PASSWORD, "bound": True}, 1),
        ({"factor": Factor.OTP}, 2),
        ({"factor": Factor.PASSKEY}, 3),
        ({"factor": Factor.PASSKEY, "factor_at": NOW - SECOND_FACTOR_S}, 1),
        ({"factor": Factor.PASSKEY, "network_changed_at": NOW}, 2),
        ({"factor": Factor.PASSKEY, "network_changed_at": NOW - 61}, 3),
        ({"factor": Factor.PASSKEY, "network_changed_at": NOW, "client_changed_at": NOW}, 1),
        ({"factor": Factor.PASSKEY, "failed_attempts": 2}, 3),
        ({"factor": Factor.PASSKEY, "failed_attempts": 3}, 2),
        ({"factor": Factor.PASSWORD, "unusual_rate": True}, 0),
        ({"factor": Factor.PASSKEY, "device": Device.COMPLIANT}, 3),
        ({"factor": Factor.PASSKEY, "device": Device.NOT_COMPLIANT}, 0),
    ],
)
def test_levels(signals, expected):
    assert level(**signals) == expected


def test_a_second_factor_falls_by_age_at_the_time_it_says():
    fresh = assurance(someone(factor=Factor.OTP), now=NOW)
    assert fresh.until == NOW - 60 + SECOND_FACTOR_S
    later = assurance(someone(factor=Factor.OTP), now=fresh.until)
    assert (later.level, later.until) == (1, float("inf"))
    assert later.reasons


def test_the_system_itself_needs_no_proof():
    assert assurance(SYSTEM).level == 3


signals = st.builds(
    Signals,
    factor=st.sampled_from(Factor),
    factor_at=st.floats(0, 2 * NOW),
    bound=st.booleans(),
    network_changed_at=st.floats(0, 2 * NOW),
    client_changed_at=st.floats(0, 2 * NOW),
    failed_attempts=st.integers(0, 9),
    unusual_rate=st.booleans(),
    device=st.sampled_from(Device),
)


@given(signals)
def test_no_signal_raises_what_the_factor_proved_and_every_loss_is_explained(given_signals):
    who = Principal(kind="user", id="1", label="Ada", signals=given_signals)
    found = assurance(who, now=NOW)
    proved = max(
        LEVELS[given_signals.factor],
        2 if given_signals.factor is Factor.SECRET and given_signals.bound else 0,
    )
    assert 0 <= found.level <= proved
    assert (found.level < proved) <= bool(found.reasons)
    worse = replace(given_signals, failed_attempts=9, unusual_rate=True)
    assert assurance(replace(who, signals=worse), now=NOW).level <= found.level
