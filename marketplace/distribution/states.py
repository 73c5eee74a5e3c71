"""The life of a release."""

from governance.principals import Role
from governance.states import Rule, StateTable
from marketplace.distribution.models import Release

State = Release.State
SYSTEM = frozenset({Role.SYSTEM})

RELEASE_STATES = StateTable(
    "A release",
    {
        # From itself: another worker takes over a lease that has run out.
        State.PUBLISHING: Rule(sources=frozenset({State.QUEUED, State.PUBLISHING}), by=SYSTEM),
        # Back, to be tried again.
        State.QUEUED: Rule(sources=frozenset({State.PUBLISHING}), by=SYSTEM),
        State.PUBLISHED: Rule(sources=frozenset({State.PUBLISHING}), by=SYSTEM),
        State.REMOVED: Rule(sources=frozenset({State.QUEUED, State.PUBLISHING, State.PUBLISHED}), by=SYSTEM),
    },
    initial=[State.QUEUED],
)
