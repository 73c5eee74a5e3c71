"""The life of a model version."""

from governance.principals import Role
from governance.states import Rule, StateTable
from inference.registry.models import ModelVersion, TrainingReference

State = ModelVersion.State
Reference = TrainingReference.State
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

REFERENCE_STATES = StateTable(
    "A training reference",
    {
        # Asked for again, from the same rows or others.
        Reference.BUILDING: Rule(sources=frozenset({Reference.READY, Reference.FAILED})),
        Reference.READY: Rule(sources=frozenset({Reference.BUILDING})),
        Reference.FAILED: Rule(sources=frozenset({Reference.BUILDING})),
    },
    initial=[Reference.BUILDING],
)
