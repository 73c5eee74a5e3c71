"""The life of a declassification and of an erasure."""

from governance.data.models import Declassification, Erasure
from governance.states import Rule, StateTable

Wish = Declassification.State
State = Erasure.State
OPEN = frozenset({State.QUEUED, State.RUNNING})

DECLASSIFICATION_STATES = StateTable(
    "A declassification",
    {
        Wish.APPROVED: Rule(sources=frozenset({Wish.REQUESTED})),
        Wish.REFUSED: Rule(sources=frozenset({Wish.REQUESTED})),
    },
    initial=[Wish.REQUESTED],
)

ERASURE_STATES = StateTable(
    "An erasure",
    {
        State.RUNNING: Rule(sources=OPEN | {State.INCOMPLETE}),
        # From incomplete: somebody has done by hand what the house could not.
        State.DONE: Rule(sources=frozenset({State.RUNNING, State.INCOMPLETE})),
        State.INCOMPLETE: Rule(sources=frozenset({State.RUNNING})),
        State.CANCELLED: Rule(sources=OPEN),
    },
    initial=[State.QUEUED],
)
