"""The gate before skills are called; whether this very skill may be called is `library.skill.invoke`."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

register(
    ActionRule(
        "runtime.skill.request",
        roles=frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST, Role.SERVICE}),
        scopes=frozenset({"skills:invoke"}),
    ),
)
