"""Who may read the signed repository: everybody, because what it holds is public and verifies itself."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

register(
    ActionRule("distribution.repository.read", anonymous=True),
    ActionRule("distribution.release.publish", roles=frozenset({Role.SYSTEM}), groups=frozenset({"release"})),
    ActionRule(
        "distribution.release.view",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.REVIEWER}),
        person_scopes=frozenset({"platform:manage", "plugins:read"}),
    ),
)
