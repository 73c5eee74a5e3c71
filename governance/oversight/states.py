"""The lives of a stop and of an oversight task."""

from __future__ import annotations

from governance.oversight.models import OversightTask, Stop
from governance.states import Rule, StateTable

S = Stop.State
T = OversightTask.State

STOP_STATES = StateTable(
    "stop",
    {
        S.RELEASING: Rule(frozenset({S.PRESSED})),
        S.RELEASED: Rule(frozenset({S.RELEASING})),
        # Somebody presses again while the release is being looked at.
        S.PRESSED: Rule(frozenset({S.RELEASING})),
    },
    initial={S.PRESSED},
)

TASK_STATES = StateTable(
    "oversight task",
    {
        T.CLAIMED: Rule(frozenset({T.OPEN})),
        T.OPEN: Rule(frozenset({T.CLAIMED})),
        T.DECIDED: Rule(frozenset({T.OPEN, T.CLAIMED})),
        T.WITHDRAWN: Rule(frozenset({T.OPEN, T.CLAIMED})),
        # Only what was withheld lapses: an answer that was given is looked at, however late.
        T.LAPSED: Rule(frozenset({T.OPEN, T.CLAIMED})),
    },
    initial={T.OPEN},
)
