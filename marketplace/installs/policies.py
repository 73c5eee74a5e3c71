"""Who may see and change what a tenant has installed."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

KEEPERS = frozenset({Role.TENANT_ADMIN})
MANAGE = frozenset({"tenant:manage"})

register(
    ActionRule(
        "installs.installation.view",
        roles=KEEPERS | {Role.DEVELOPER, Role.DATA_SCIENTIST, Role.PLATFORM_ADMIN},
        scopes=MANAGE | {"plugins:read"},
    ),
    ActionRule(
        "installs.installation.install", roles=KEEPERS, scopes=MANAGE, groups=frozenset({"administer"})
    ),
    ActionRule(
        "installs.installation.upgrade", roles=KEEPERS, scopes=MANAGE, groups=frozenset({"administer"})
    ),
    ActionRule(
        "installs.installation.suspend", roles=KEEPERS, scopes=MANAGE, groups=frozenset({"administer"})
    ),
    ActionRule(
        "installs.installation.uninstall", roles=KEEPERS, scopes=MANAGE, groups=frozenset({"administer"})
    ),
)
