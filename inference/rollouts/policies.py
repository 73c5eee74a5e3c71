"""Who may do what with endpoints. A program's own right to call one is an object grant, given one by one."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

READERS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM})
CALLERS = frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})
INVOKE_GRANT = "rollouts.invoke_endpoint"

register(
    ActionRule("rollouts.endpoint.view", roles=READERS, scopes=frozenset({"models:read"})),
    ActionRule(
        "rollouts.endpoint.create",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "rollouts.endpoint.split",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"release"}),
    ),
    # A gate: whether one may tell something about this very endpoint's answers is rollouts.feedback.send.
    ActionRule(
        "rollouts.feedback.request", roles=CALLERS | {Role.SERVICE}, scopes=frozenset({"models:infer"})
    ),
    ActionRule(
        "rollouts.feedback.send", roles=CALLERS, scopes=frozenset({"models:infer"}), grant=INVOKE_GRANT
    ),
    ActionRule(
        "rollouts.endpoint.invoke",
        roles=CALLERS,
        scopes=frozenset({"models:infer"}),
        grant=INVOKE_GRANT,
        groups=frozenset({"invoke"}),
    ),
)
