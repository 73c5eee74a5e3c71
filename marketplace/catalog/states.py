"""The lives of a partner application and of a plugin version."""

from governance.principals import Role
from governance.states import Rule, StateTable
from marketplace.catalog.models import PartnerApplication, PluginVersion

Application = PartnerApplication.State
Version = PluginVersion.State
ADMINISTRATORS = frozenset({Role.PLATFORM_ADMIN, Role.SYSTEM})
REVIEW = frozenset({Role.REVIEWER, Role.SYSTEM})

APPLICATION_STATES = StateTable(
    "A partner application",
    {
        Application.ACCEPTED: Rule(sources=frozenset({Application.APPLIED}), by=ADMINISTRATORS),
        Application.REFUSED: Rule(sources=frozenset({Application.APPLIED}), by=ADMINISTRATORS),
    },
    initial=[Application.APPLIED],
)
VERSION_STATES = StateTable(
    "A plugin version",
    {
        Version.APPROVED: Rule(sources=frozenset({Version.SUBMITTED}), by=REVIEW),
        Version.PUBLISHED: Rule(sources=frozenset({Version.APPROVED}), by=frozenset({Role.SYSTEM})),
        Version.BLOCKED: Rule(
            sources=frozenset({Version.APPROVED, Version.PUBLISHED}), by=frozenset({Role.PLATFORM_ADMIN})
        ),
        Version.REJECTED: Rule(sources=frozenset({Version.SUBMITTED}), by=REVIEW),
        Version.WITHDRAWN: Rule(
            sources=frozenset({Version.SUBMITTED}), by=frozenset({Role.PARTNER, Role.SYSTEM})
        ),
    },
    initial=[Version.SUBMITTED],
)
