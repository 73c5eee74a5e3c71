"""Who may upload, follow, review and decide."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

READ = frozenset({"plugins:read"})
WRITE = frozenset({"plugins:write"})
HOUSE = frozenset({Role.REVIEWER, Role.PLATFORM_ADMIN, Role.ETHICS_OFFICER})
REVIEWER = frozenset({Role.REVIEWER})
PLATFORM = frozenset({"platform:manage"})

register(
    ActionRule("review.submission.upload", roles=frozenset({Role.PARTNER}), scopes=WRITE),
    ActionRule("review.submission.view", roles=HOUSE | {Role.PARTNER}, scopes=READ),
    ActionRule("review.submission.answer", roles=frozenset({Role.PARTNER}), scopes=WRITE),
    ActionRule("review.submission.withdraw", roles=frozenset({Role.PARTNER}), scopes=WRITE),
    ActionRule(
        "review.submission.retry",
        roles=frozenset({Role.PARTNER, Role.REVIEWER, Role.PLATFORM_ADMIN}),
        scopes=WRITE,
    ),
    ActionRule("review.submission.inspect", roles=HOUSE),
    # No scope opens these: a verdict is a person's, given in a session.
    ActionRule("review.submission.claim", roles=REVIEWER),
    ActionRule("review.submission.ask", roles=REVIEWER),
    ActionRule("review.submission.decide", roles=REVIEWER, groups=frozenset({"approve"})),
    ActionRule("review.check.view", roles=HOUSE, person_scopes=PLATFORM),
    ActionRule(
        "review.check.configure",
        roles=frozenset({Role.PLATFORM_ADMIN}),
        person_scopes=PLATFORM,
        groups=frozenset({"administer"}),
    ),
)
