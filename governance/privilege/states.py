"""The lives of elevations and of proposed removals."""

from __future__ import annotations

from governance.privilege.models import Elevation, RemovalProposal
from governance.states import Rule, StateTable

E = Elevation.State
P = RemovalProposal.State

ELEVATION_STATES = StateTable(
    "elevation",
    {
        E.ACTIVE: Rule(frozenset({E.REQUESTED})),
        E.REFUSED: Rule(frozenset({E.REQUESTED})),
        E.WITHDRAWN: Rule(frozenset({E.REQUESTED})),
        E.ENDED: Rule(frozenset({E.ACTIVE})),
    },
    # Breaking the glass waits for nobody.
    initial={E.REQUESTED, E.ACTIVE},
)

PROPOSAL_STATES = StateTable(
    "removal proposal",
    {
        P.REMOVED: Rule(frozenset({P.OPEN})),
        P.KEPT: Rule(frozenset({P.OPEN})),
        P.STALE: Rule(frozenset({P.OPEN})),
    },
    initial={P.OPEN},
)
