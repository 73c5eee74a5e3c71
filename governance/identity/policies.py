"""The actions of this app and who may do them."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

PEOPLE = frozenset(set(Role) - {Role.SERVICE, Role.SYSTEM})
ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})
MANAGERS = ADMINISTRATORS | {Role.SYSTEM}
MANAGE = frozenset({"tenant:manage"})

register(
    # No scope opens one's own factors and sessions: they are what tokens are judged by.
    ActionRule("identity.account.view", roles=PEOPLE, groups=frozenset({"account"})),
    ActionRule("identity.factor.manage", roles=PEOPLE, groups=frozenset({"account"})),
    ActionRule("identity.own-session.end", roles=PEOPLE, groups=frozenset({"account"})),
    ActionRule("identity.session.view", roles=ADMINISTRATORS, scopes=MANAGE),
    ActionRule("identity.session.end", roles=MANAGERS, scopes=MANAGE, groups=frozenset({"administer"})),
    ActionRule("identity.factor.reset", roles=MANAGERS, scopes=MANAGE, groups=frozenset({"administer"})),
    ActionRule("identity.policy.view", roles=ADMINISTRATORS, scopes=MANAGE),
    ActionRule("identity.policy.manage", roles=MANAGERS, scopes=MANAGE, groups=frozenset({"administer"})),
    ActionRule("identity.provider.view", roles=ADMINISTRATORS, scopes=MANAGE),
    ActionRule("identity.provider.manage", roles=MANAGERS, scopes=MANAGE, groups=frozenset({"administer"})),
    # Lets a provider's addresses be private ones: a door into the house's own network, so not a tenant's to open.
    ActionRule(
        "identity.provider.internal",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.SYSTEM}),
        person_scopes=frozenset({"platform:manage"}),
        groups=frozenset({"administer"}),
    ),
)
