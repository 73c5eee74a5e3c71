"""The life of a verification."""

from __future__ import annotations

from governance.audit.models import ChainVerification
from governance.states import Rule, StateTable

State = ChainVerification.State

VERIFICATION_STATES = StateTable(
    "A verification",
    {
        # Running again: its worker was lost, and another one took it over.
        State.RUNNING: Rule(frozenset({State.QUEUED, State.RUNNING})),
        State.HOLDS: Rule(frozenset({State.RUNNING})),
        State.BROKEN: Rule(frozenset({State.RUNNING})),
        State.FAILED: Rule(frozenset({State.QUEUED, State.RUNNING})),
    },
    initial={State.QUEUED},
)
