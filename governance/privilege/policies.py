"""Who may see and change what people may do."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})
EVERYBODY = frozenset(set(Role) - {Role.SYSTEM, Role.SERVICE, Role.AUDITOR, Role.PARTNER})

register(
    ActionRule("privilege.right.view", roles=ADMINISTRATORS | {Role.SYSTEM}),
    ActionRule(
        "privilege.right.remove", roles=ADMINISTRATORS | {Role.SYSTEM}, groups=frozenset({"administer"})
    ),
    ActionRule("privilege.settings.manage", roles=ADMINISTRATORS, groups=frozenset({"administer"})),
    ActionRule("privilege.elevation.view", roles=EVERYBODY),
    ActionRule("privilege.elevation.request", roles=EVERYBODY),
    ActionRule("privilege.elevation.decide", roles=ADMINISTRATORS, groups=frozenset({"approve"})),
    ActionRule(
        "privilege.elevation.end", roles=ADMINISTRATORS | {Role.SYSTEM}, groups=frozenset({"administer"})
    ),
    ActionRule("privilege.glass.break", roles=EVERYBODY),
    ActionRule("privilege.glass.review", roles=ADMINISTRATORS, groups=frozenset({"approve"})),
)
