"""Who may see and change what people may do."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})
EVERYBODY = frozenset(set(Role) - {Role.SYSTEM, Role.SERVICE, Role.AUDITOR, Role.PARTNER})

MANAGE = frozenset({"tenant:manage"})
DECIDE = frozenset({"requests:decide"})
ADMINISTER = frozenset({"administer"})
APPROVE = frozenset({"approve"})

register(
    ActionRule("privilege.right.view", roles=ADMINISTRATORS | {Role.SYSTEM}, person_scopes=MANAGE),
    ActionRule(
        "privilege.right.remove",
        roles=ADMINISTRATORS | {Role.SYSTEM},
        person_scopes=MANAGE,
        groups=ADMINISTER,
    ),
    ActionRule("privilege.settings.manage", roles=ADMINISTRATORS, person_scopes=MANAGE, groups=ADMINISTER),
    ActionRule("privilege.elevation.view", roles=EVERYBODY, person_scopes=MANAGE | DECIDE),
    ActionRule("privilege.elevation.request", roles=EVERYBODY, person_scopes=MANAGE),
    ActionRule("privilege.elevation.decide", roles=ADMINISTRATORS, person_scopes=DECIDE, groups=APPROVE),
    ActionRule(
        "privilege.elevation.end",
        roles=ADMINISTRATORS | {Role.SYSTEM},
        person_scopes=MANAGE,
        groups=ADMINISTER,
    ),
    # No scope opens it: who breaks the glass is there, in person.
    ActionRule("privilege.glass.break", roles=EVERYBODY),
    ActionRule("privilege.glass.review", roles=ADMINISTRATORS, person_scopes=DECIDE, groups=APPROVE),
)
