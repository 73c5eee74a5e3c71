"""The actions of this app and who may do them."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN})
MANAGE = frozenset({"tenant:manage"})
ADMINISTER = frozenset({"administer"})

register(
    ActionRule(
        "policies.version.view",
        roles=ADMINISTRATORS,
        scopes=MANAGE | {"audit:read"},
    ),
    ActionRule("policies.version.draft", roles=ADMINISTRATORS, scopes=MANAGE, groups=ADMINISTER),
    ActionRule("policies.version.propose", roles=ADMINISTRATORS, scopes=MANAGE, groups=ADMINISTER),
    ActionRule("policies.version.withdraw", roles=ADMINISTRATORS, scopes=MANAGE, groups=ADMINISTER),
    ActionRule(
        "policies.version.activate", roles=ADMINISTRATORS, scopes=MANAGE, groups=frozenset({"approve"})
    ),
    ActionRule(
        "policies.decision.view",
        roles=ADMINISTRATORS,
        scopes=MANAGE | {"audit:read"},
        groups=frozenset({"view"}),
    ),
    # One's own, whoever one is; others' are told to who may see them.
    ActionRule(
        "policies.decision.explain",
        roles=frozenset(set(Role) - {Role.SYSTEM}),
        scopes=MANAGE | {"audit:read"},
        groups=frozenset({"account"}),
    ),
)
