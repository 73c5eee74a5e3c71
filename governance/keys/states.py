"""The lives of keys and of the long work on them."""

from governance.keys.models import Destruction, KeyState, ReEncryption
from governance.states import Rule, StateTable

Job = ReEncryption.State
Request = Destruction.State
ALIVE = frozenset({KeyState.ACTIVE, KeyState.RETIRED})

KEY_STATES = StateTable(
    "A key",
    {
        KeyState.RETIRED: Rule(sources=frozenset({KeyState.ACTIVE})),
        KeyState.DESTROYED: Rule(sources=ALIVE),
    },
    initial=[KeyState.ACTIVE],
)

RE_ENCRYPTION_STATES = StateTable(
    "A re-encryption",
    {
        Job.RUNNING: Rule(sources=frozenset({Job.QUEUED})),
        Job.DONE: Rule(sources=frozenset({Job.RUNNING})),
        Job.CANCELLED: Rule(sources=frozenset({Job.QUEUED, Job.RUNNING})),
    },
    initial=[Job.QUEUED],
)

DESTRUCTION_STATES = StateTable(
    "A request to destroy keys",
    {
        Request.CONFIRMED: Rule(sources=frozenset({Request.REQUESTED})),
        Request.WITHDRAWN: Rule(sources=frozenset({Request.REQUESTED})),
    },
    initial=[Request.REQUESTED],
)
