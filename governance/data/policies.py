"""The actions of this app and who may do them."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

STEWARDS = frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM})
READERS = STEWARDS | {Role.PLATFORM_ADMIN, Role.DEVELOPER, Role.ETHICS_OFFICER}
READ = frozenset({"models:read"})
MANAGE = frozenset({"tenant:manage"})
ADMINISTER = frozenset({"administer"})
READ_GRANT = "data.read_dataset"

register(
    ActionRule("data.asset.view", roles=READERS, scopes=READ),
    ActionRule("data.asset.register", roles=STEWARDS | {Role.DEVELOPER}, scopes=MANAGE),
    ActionRule("data.asset.label", roles=STEWARDS, scopes=MANAGE, groups=ADMINISTER),
    ActionRule("data.asset.describe", roles=STEWARDS, scopes=MANAGE, groups=ADMINISTER),
    ActionRule(
        "data.asset.request_declassification",
        roles=frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST}),
        person_scopes=MANAGE,
        groups=ADMINISTER,
    ),
    ActionRule(
        "data.asset.declassify",
        roles=frozenset({Role.TENANT_ADMIN}),
        person_scopes=frozenset({"requests:decide"}),
        groups=frozenset({"approve"}),
    ),
    # Nobody gets the bytes: work of the house reads them, a batch job for example.
    ActionRule(
        "data.dataset.read",
        roles=STEWARDS,
        scopes=MANAGE | {"batch:write"},
        grant=READ_GRANT,
        groups=frozenset({"read_data"}),
    ),
    ActionRule("data.work.place", roles=frozenset({Role.SYSTEM}), groups=frozenset({"move_data"})),
    ActionRule(
        "data.placement.view",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.SYSTEM}),
        scopes=READ,
    ),
    # A tenant's administrators describe pools of their own; burst rules and the other pools are the platform's.
    ActionRule(
        "data.pool.manage",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.SYSTEM}),
        person_scopes=MANAGE | {"platform:manage"},
        groups=ADMINISTER,
    ),
    ActionRule(
        "data.erasure.view",
        roles=frozenset({Role.TENANT_ADMIN, Role.PLATFORM_ADMIN, Role.SYSTEM}),
        scopes=MANAGE,
    ),
    ActionRule(
        "data.erasure.request",
        roles=frozenset({Role.TENANT_ADMIN, Role.SYSTEM}),
        scopes=MANAGE,
        groups=ADMINISTER,
    ),
)
