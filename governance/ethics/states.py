"""The lives of an approval and of an incident."""

from governance.ethics.models import Approval, Incident
from governance.principals import Role
from governance.states import Rule, StateTable

State = Approval.State
DECIDERS = frozenset({Role.ETHICS_OFFICER})

APPROVAL_STATES = StateTable(
    "An ethics approval",
    {
        State.APPROVED: Rule(sources=frozenset({State.REQUESTED}), by=DECIDERS),
        State.REFUSED: Rule(sources=frozenset({State.REQUESTED}), by=DECIDERS),
        State.VOID: Rule(sources=frozenset({State.REQUESTED, State.APPROVED})),
        State.EXPIRED: Rule(sources=frozenset({State.APPROVED}), by=frozenset({Role.SYSTEM})),
    },
    initial=[State.REQUESTED],
)

Case = Incident.State
HANDLERS = frozenset(
    {Role.ETHICS_OFFICER, Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.PARTNER}
)

INCIDENT_STATES = StateTable(
    "An incident",
    {
        Case.INVESTIGATING: Rule(sources=frozenset({Case.OPEN}), by=HANDLERS),
        Case.REPORTED: Rule(sources=frozenset({Case.OPEN, Case.INVESTIGATING}), by=HANDLERS),
        Case.CLOSED: Rule(sources=frozenset({Case.INVESTIGATING, Case.REPORTED}), by=HANDLERS),
    },
    initial=[Case.OPEN],
)
