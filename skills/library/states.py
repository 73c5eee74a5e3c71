"""The life of a skill version."""

from governance.principals import Role
from governance.states import Rule, StateTable
from skills.library.models import SkillVersion

State = SkillVersion.State

VERSION_STATES = StateTable(
    "A skill version",
    {State.RETIRED: Rule(sources=frozenset({State.READY}), by=frozenset({Role.TENANT_ADMIN, Role.SYSTEM}))},
    initial=[State.READY],
)
