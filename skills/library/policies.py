"""Who may do what with skills. A program's own right to call one is an object grant, given one by one."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

READERS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.SYSTEM})
CALLERS = frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})
INVOKE_GRANT = "library.invoke_skill"

register(
    ActionRule("library.skill.view", roles=READERS, scopes=frozenset({"skills:invoke", "models:read"})),
    ActionRule(
        "library.version.register",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "library.version.activate",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"release"}),
    ),
    ActionRule(
        "library.version.hold",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "library.version.retire",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "library.skill.invoke",
        roles=CALLERS,
        scopes=frozenset({"skills:invoke"}),
        grant=INVOKE_GRANT,
        groups=frozenset({"invoke"}),
    ),
)
