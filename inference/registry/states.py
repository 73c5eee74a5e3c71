"""The life of a model version."""

from governance.principals import Role
from governance.states import Rule, StateTable
from inference.registry.models import ModelVersion

State = ModelVersion.State
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM})

VERSION_STATES = StateTable(
    "A model version",
    {
        State.READY: Rule(sources=frozenset({State.REGISTERED}), by=KEEPERS),
        State.RETIRED: Rule(sources=frozenset({State.REGISTERED, State.READY}), by=KEEPERS),
    },
    initial=[State.REGISTERED],
)
