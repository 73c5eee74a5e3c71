"""The life of a version of policies. Back in force comes an old text only as a new version."""

from governance.policies.models import PolicyVersion
from governance.principals import Role
from governance.states import Rule, StateTable

State = PolicyVersion.State
ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})

VERSION_STATES = StateTable(
    "A version of policies",
    {
        State.PROPOSED: Rule(sources=frozenset({State.DRAFT}), by=ADMINISTRATORS),
        State.ACTIVE: Rule(sources=frozenset({State.PROPOSED}), by=ADMINISTRATORS),
        State.RETIRED: Rule(sources=frozenset({State.ACTIVE}), by=ADMINISTRATORS),
        State.WITHDRAWN: Rule(sources=frozenset({State.DRAFT, State.PROPOSED}), by=ADMINISTRATORS),
    },
    initial=[State.DRAFT],
)
