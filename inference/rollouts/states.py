"""The life of a rollout."""

from governance.states import Rule, StateTable
from inference.rollouts.models import Rollout
from inference.rollouts.policies import KEEPERS

State = Rollout.State
OPEN = frozenset({State.RUNNING, State.HOLDING})

ROLLOUT_STATES = StateTable(
    "A rollout",
    {
        # A person lets it go on.
        State.RUNNING: Rule(sources=frozenset({State.HOLDING}), by=KEEPERS),
        State.HOLDING: Rule(sources=frozenset({State.RUNNING}), by=KEEPERS),
        State.PROMOTED: Rule(sources=OPEN, by=KEEPERS),
        State.ROLLED_BACK: Rule(sources=OPEN, by=KEEPERS),
        State.CANCELLED: Rule(sources=OPEN, by=KEEPERS),
    },
    initial=[State.RUNNING],
)
