"""The life of an approval."""

from governance.ethics.models import Approval
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
