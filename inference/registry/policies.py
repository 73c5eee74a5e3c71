"""Who may do what with models and their versions."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

READERS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})
KEEPERS = frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM})

register(
    ActionRule("registry.model.view", roles=READERS, scopes=frozenset({"models:read"})),
    ActionRule("registry.version.view", roles=READERS, scopes=frozenset({"models:read"})),
    ActionRule(
        "registry.version.register",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    # It sends data to another server, and whoever answers there answers in the version's name.
    ActionRule(
        "registry.version.register_remote",
        roles=frozenset({Role.TENANT_ADMIN, Role.SYSTEM}),
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    # Regular expressions run in the serving process itself: only the platform's own.
    ActionRule("registry.version.register_patterns", roles=frozenset({Role.SYSTEM})),
    ActionRule(
        "registry.version.evaluate",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    # What its training data looked like; drift is measured against it.
    ActionRule(
        "registry.version.reference",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "registry.version.hold",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "registry.version.retire",
        roles=KEEPERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
)
