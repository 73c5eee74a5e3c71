"""Who may read the catalogue, become a partner, and take a version out of circulation."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

EVERYBODY = frozenset(set(Role) - {Role.SYSTEM, Role.SERVICE, Role.AUDITOR})
PLATFORM = frozenset({"platform:manage"})

register(
    ActionRule("catalog.plugin.view", roles=EVERYBODY, scopes=frozenset({"plugins:read"}), cross_tenant=True),
    ActionRule("catalog.application.apply", anonymous=True),
    ActionRule(
        "catalog.application.view",
        roles=frozenset({Role.PLATFORM_ADMIN}),
        person_scopes=PLATFORM | {"requests:decide"},
    ),
    ActionRule(
        "catalog.application.decide",
        roles=frozenset({Role.PLATFORM_ADMIN}),
        person_scopes=frozenset({"requests:decide"}),
        groups=frozenset({"approve"}),
    ),
    ActionRule(
        "catalog.partner.verify",
        roles=frozenset({Role.PLATFORM_ADMIN}),
        person_scopes=PLATFORM,
        groups=frozenset({"administer"}),
    ),
    ActionRule("catalog.version.register", roles=frozenset({Role.SYSTEM})),
    ActionRule(
        "catalog.version.decide",
        roles=frozenset({Role.REVIEWER, Role.PARTNER, Role.SYSTEM}),
        scopes=frozenset({"plugins:write"}),
        groups=frozenset({"approve"}),
    ),
    ActionRule("catalog.version.publish", roles=frozenset({Role.SYSTEM}), groups=frozenset({"release"})),
    ActionRule(
        "catalog.version.block",
        roles=frozenset({Role.PLATFORM_ADMIN}),
        person_scopes=PLATFORM,
        groups=frozenset({"administer"}),
    ),
)
