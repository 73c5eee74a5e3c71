"""Who may see, add and use the base capabilities. Using one is also invoking its endpoint, which is decided there."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

CALLERS = frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})

register(
    ActionRule(
        "capabilities.capability.view",
        roles=CALLERS | {Role.PLATFORM_ADMIN, Role.SERVICE},
        scopes=frozenset({"models:read", "models:infer"}),
    ),
    ActionRule(
        "capabilities.capability.add",
        roles=frozenset({Role.TENANT_ADMIN, Role.SYSTEM}),
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    # A gate: whether this very endpoint may be called is rollouts.endpoint.invoke.
    ActionRule(
        "capabilities.capability.use", roles=CALLERS | {Role.SERVICE}, scopes=frozenset({"models:infer"})
    ),
)
