"""The actions of the ground floor and who may do them."""

from governance.access.decisions import ActionRule, register
from governance.access.scopes import SCOPES
from governance.principals import Role

ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})
MANAGE = frozenset({"tenant:manage"})

register(
    ActionRule("access.principal.view", roles=frozenset(set(Role) - {Role.SYSTEM}), scopes=frozenset(SCOPES)),
    ActionRule(
        "tenants.tenant.view",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN}),
        person_scopes=MANAGE | {"platform:manage"},
    ),
    ActionRule(
        "tenants.tenant.manage",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.SYSTEM}),
        person_scopes=frozenset({"platform:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule("tenants.membership.view", roles=ADMINISTRATORS, person_scopes=MANAGE),
    ActionRule(
        "tenants.membership.manage",
        roles=ADMINISTRATORS | {Role.SYSTEM},
        person_scopes=MANAGE,
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "access.application.view",
        roles=ADMINISTRATORS | {Role.DEVELOPER, Role.PARTNER},
        person_scopes=MANAGE,
    ),
    ActionRule(
        "access.token.authorize",
        roles=frozenset(set(Role) - {Role.SERVICE, Role.SYSTEM}),
        groups=frozenset({"account"}),
    ),
    ActionRule("access.device.view", roles=frozenset(set(Role) - {Role.SYSTEM}), scopes=frozenset(SCOPES)),
    ActionRule(
        "access.device.register",
        roles=frozenset(set(Role) - {Role.SYSTEM}),
        scopes=frozenset(SCOPES),
        groups=frozenset({"account"}),
    ),
    ActionRule(
        "access.device.manage",
        roles=ADMINISTRATORS | {Role.SYSTEM},
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "access.application.manage",
        roles=ADMINISTRATORS | {Role.PARTNER, Role.SYSTEM},
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "access.grant.manage",
        roles=ADMINISTRATORS | {Role.SYSTEM},
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "audit.entry.view",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.AUDITOR, Role.TENANT_ADMIN}),
        scopes=frozenset({"audit:read"}),
    ),
    ActionRule(
        "audit.entry.export",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.AUDITOR, Role.TENANT_ADMIN}),
        scopes=frozenset({"audit:read"}),
        groups=frozenset({"export"}),
    ),
    ActionRule(
        "audit.chain.view",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.AUDITOR, Role.TENANT_ADMIN}),
        scopes=frozenset({"audit:read"}),
    ),
    ActionRule(
        "audit.chain.verify",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.AUDITOR, Role.TENANT_ADMIN, Role.SYSTEM}),
        scopes=frozenset({"audit:read"}),
    ),
    *(
        ActionRule(action, roles=ADMINISTRATORS, person_scopes=MANAGE, groups=frozenset({"administer"}))
        for action in ("audit.retention.manage", "audit.hold.set")
    ),
    ActionRule(
        "audit.hold.release",
        roles=ADMINISTRATORS,
        person_scopes=frozenset({"requests:decide"}),
        groups=frozenset({"approve"}),
    ),
    ActionRule("site.console.open", roles=frozenset(set(Role) - {Role.SERVICE, Role.SYSTEM, Role.PARTNER})),
    # The auditor sees the log, and not how the house is doing.
    ActionRule(
        "site.house.view",
        roles=frozenset(set(Role) - {Role.SERVICE, Role.SYSTEM, Role.PARTNER, Role.AUDITOR}),
    ),
    ActionRule("site.portal.open", roles=frozenset({Role.PARTNER})),
    ActionRule("site.console.applications", roles=ADMINISTRATORS | {Role.DEVELOPER}),
    ActionRule(
        "site.metrics.read",
        roles=frozenset({Role.PLATFORM_ADMIN}),
        scopes=frozenset({"metrics:read"}),
    ),
)
