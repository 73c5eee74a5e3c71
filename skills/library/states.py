"""The life of a skill version."""

from governance.principals import Role
from governance.states import Rule, StateTable
from skills.library.models import SkillVersion

State = SkillVersion.State
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.SYSTEM})

VERSION_STATES = StateTable(
    "A skill version",
    {
        State.READY: Rule(sources=frozenset({State.HELD}), by=KEEPERS),
        # It answers no call until it is released.
        State.HELD: Rule(sources=frozenset({State.READY}), by=KEEPERS),
        State.RETIRED: Rule(sources=frozenset({State.READY, State.HELD}), by=KEEPERS),
    },
    initial=[State.READY],
)
