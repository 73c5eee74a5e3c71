"""The life of an installation."""

from governance.principals import Role
from governance.states import Rule, StateTable
from marketplace.installs.models import Installation

State = Installation.State
SYSTEM = frozenset({Role.SYSTEM})
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.SYSTEM})

INSTALLATION_STATES = StateTable(
    "An installation",
    {
        # From installed or suspended: an upgrade. From failed: another try.
        State.INSTALLING: Rule(sources=frozenset({State.ACTIVE, State.SUSPENDED, State.FAILED}), by=KEEPERS),
        State.ACTIVE: Rule(sources=frozenset({State.INSTALLING}), by=SYSTEM),
        State.FAILED: Rule(sources=frozenset({State.INSTALLING}), by=SYSTEM),
        State.SUSPENDED: Rule(
            sources=frozenset({State.ACTIVE, State.FAILED, State.INSTALLING}),
            by=KEEPERS | {Role.PLATFORM_ADMIN},
        ),
        State.UNINSTALLED: Rule(sources=frozenset({State.ACTIVE, State.FAILED, State.SUSPENDED}), by=KEEPERS),
    },
    initial=[State.INSTALLING],
)
