"""Who may see and decide ethics approvals, supply evidence, handle incidents, and take bundles away."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

HOUSE = frozenset({Role.ETHICS_OFFICER, Role.PLATFORM_ADMIN})
USERS = frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.DEVELOPER})
HANDLERS = frozenset(
    {Role.ETHICS_OFFICER, Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.PARTNER}
)
WRITE = frozenset({"plugins:write"})

register(
    ActionRule(
        "ethics.approval.view",
        roles=HOUSE | {Role.REVIEWER, Role.PARTNER},
        scopes=frozenset({"plugins:read"}),
    ),
    ActionRule(
        "ethics.approval.request",
        roles=frozenset({Role.PARTNER, Role.TENANT_ADMIN, Role.SYSTEM}),
        scopes=WRITE,
    ),
    ActionRule(
        "ethics.approval.decide",
        roles=frozenset({Role.ETHICS_OFFICER}),
        person_scopes=frozenset({"requests:decide"}),
        groups=frozenset({"approve"}),
    ),
    ActionRule(
        "ethics.evidence.supply",
        roles=frozenset({Role.PARTNER, Role.TENANT_ADMIN, Role.ETHICS_OFFICER}),
        scopes=WRITE,
        groups=frozenset({"administer"}),
    ),
    ActionRule("ethics.binding.create", roles=frozenset({Role.SYSTEM})),
    ActionRule("ethics.binding.view", roles=HOUSE | USERS, scopes=frozenset({"models:read"})),
    ActionRule(
        "ethics.bundle.export",
        roles=HOUSE | {Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM},
        scopes=frozenset({"models:read"}),
        groups=frozenset({"export"}),
    ),
    ActionRule(
        "ethics.incident.view", roles=HOUSE | USERS | {Role.PARTNER}, scopes=frozenset({"models:read"})
    ),
    ActionRule(
        "ethics.incident.open",
        roles=HANDLERS | {Role.DEVELOPER},
        scopes=frozenset({"tenant:manage"}),
    ),
    ActionRule(
        "ethics.incident.handle",
        roles=HANDLERS,
        scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
)
