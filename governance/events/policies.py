"""Who may name transmitters of security events and read what they told."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

MANAGE = frozenset({"tenant:manage"})

register(
    ActionRule(
        "events.transmitter.manage",
        roles=frozenset({Role.TENANT_ADMIN, Role.PLATFORM_ADMIN, Role.SYSTEM}),
        scopes=MANAGE,
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "events.transmitter.trust-internal",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.SYSTEM}),
        person_scopes=frozenset({"platform:manage"}),
        groups=frozenset({"administer"}),
    ),
    ActionRule(
        "events.event.view",
        roles=frozenset({Role.TENANT_ADMIN, Role.PLATFORM_ADMIN, Role.SYSTEM}),
        scopes=MANAGE,
    ),
    # A token is judged by its signature, issuer and audience; there is no principal before that.
    ActionRule("events.event.deliver", anonymous=True),
)
