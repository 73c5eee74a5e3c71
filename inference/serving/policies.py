"""Who may predict over REST and start, see and stop batch jobs."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role
from inference.rollouts.policies import INVOKE_GRANT

CALLERS = frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST})
READERS = CALLERS | {Role.PLATFORM_ADMIN}

register(
    # Gates: whether this very endpoint may be called is rollouts.endpoint.invoke and serving.batch.create.
    ActionRule(
        "serving.prediction.request", roles=CALLERS | {Role.SERVICE}, scopes=frozenset({"models:infer"})
    ),
    # The protocol's model repository extension: what a process holds in memory, not what is registered.
    *(
        ActionRule(
            f"serving.model.{action}",
            roles=frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST}),
            scopes=frozenset({"tenant:manage"}),
            groups=frozenset({"release"}),
        )
        for action in ("load", "unload")
    ),
    ActionRule("serving.batch.request", roles=READERS | {Role.SERVICE}, scopes=frozenset({"batch:write"})),
    ActionRule(
        "serving.batch.create",
        roles=CALLERS,
        scopes=frozenset({"batch:write"}),
        grant=INVOKE_GRANT,
        groups=frozenset({"invoke"}),
    ),
    ActionRule(
        "serving.batch.result",
        roles=READERS | {Role.SERVICE},
        scopes=frozenset({"batch:write"}),
        groups=frozenset({"read_data"}),
    ),
    # Jobs of others; one's own may always be seen and stopped.
    ActionRule("serving.batch.view", roles=READERS, scopes=frozenset({"batch:write"})),
    ActionRule(
        "serving.batch.cancel", roles=frozenset({Role.TENANT_ADMIN}), scopes=frozenset({"batch:write"})
    ),
)
