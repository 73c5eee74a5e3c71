"""Who may look at keys, rotate them, and destroy them."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})

register(
    ActionRule(
        "keys.key.view",
        roles=ADMINISTRATORS,
        scopes=frozenset({"tenant:manage"}),
    ),
    ActionRule(
        "keys.key.rotate",
        roles=ADMINISTRATORS | {Role.SYSTEM},
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "keys.destruction.request",
        roles=ADMINISTRATORS,
        person_scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "keys.key.destroy",
        roles=ADMINISTRATORS,
        person_scopes=frozenset({"requests:decide"}),
        groups=frozenset({"approve"}),
    ),
)
