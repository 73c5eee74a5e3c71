"""The life of a model version."""

from governance.principals import Role
from governance.states import Rule, StateTable
from inference.registry.models import ModelVersion

State = ModelVersion.State
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM})

VERSION_STATES = StateTable(
    "A model version",
    {
        # From held: what it was held back for is mended.
        State.READY: Rule(sources=frozenset({State.REGISTERED, State.HELD}), by=KEEPERS),
        # It answers nothing, and keeps its share of every split for the day it is released.
        State.HELD: Rule(sources=frozenset({State.READY}), by=KEEPERS),
        State.RETIRED: Rule(sources=frozenset({State.REGISTERED, State.READY, State.HELD}), by=KEEPERS),
    },
    initial=[State.REGISTERED],
)
