"""The life of a submission."""

from governance.principals import Role
from governance.states import Rule, StateTable
from marketplace.review.models import Submission

State = Submission.State
SYSTEM = frozenset({Role.SYSTEM})
REVIEWER = frozenset({Role.REVIEWER})

SUBMISSION_STATES = StateTable(
    "A submission",
    {
        State.CHECKING: Rule(
            sources=frozenset({State.UPLOADED, State.CHECK_ERROR}),
            by=frozenset({Role.PARTNER, Role.REVIEWER, Role.PLATFORM_ADMIN, Role.SYSTEM}),
        ),
        State.CHECKS_FAILED: Rule(sources=frozenset({State.CHECKING}), by=SYSTEM),
        State.CHECK_ERROR: Rule(sources=frozenset({State.CHECKING}), by=SYSTEM),
        State.WAITING_FOR_REVIEW: Rule(
            sources=frozenset({State.CHECKING, State.IN_REVIEW}), by=REVIEWER | SYSTEM
        ),
        State.IN_REVIEW: Rule(
            # From itself: another reviewer takes over a claim that has run out.
            sources=frozenset(
                {State.WAITING_FOR_REVIEW, State.SECOND_REVIEW, State.IN_REVIEW, State.WAITING_FOR_PUBLISHER}
            ),
            by=REVIEWER | {Role.PARTNER},
        ),
        State.WAITING_FOR_PUBLISHER: Rule(sources=frozenset({State.IN_REVIEW}), by=REVIEWER),
        State.SECOND_REVIEW: Rule(sources=frozenset({State.IN_REVIEW}), by=REVIEWER),
        State.WAITING_FOR_ETHICS: Rule(sources=frozenset({State.IN_REVIEW}), by=REVIEWER),
        State.APPROVED: Rule(
            sources=frozenset({State.IN_REVIEW, State.WAITING_FOR_ETHICS}), by=REVIEWER | SYSTEM
        ),
        State.PUBLISHING: Rule(sources=frozenset({State.APPROVED}), by=SYSTEM),
        State.PUBLISHED: Rule(sources=frozenset({State.PUBLISHING}), by=SYSTEM),
        State.REJECTED: Rule(
            sources=frozenset(
                {
                    State.WAITING_FOR_REVIEW,
                    State.IN_REVIEW,
                    State.WAITING_FOR_PUBLISHER,
                    State.SECOND_REVIEW,
                    State.WAITING_FOR_ETHICS,
                }
            ),
            by=REVIEWER | SYSTEM,
        ),
        State.WITHDRAWN: Rule(
            sources=frozenset(
                {
                    State.UPLOADED,
                    State.CHECKING,
                    State.CHECK_ERROR,
                    State.WAITING_FOR_REVIEW,
                    State.IN_REVIEW,
                    State.WAITING_FOR_PUBLISHER,
                    State.SECOND_REVIEW,
                    State.WAITING_FOR_ETHICS,
                }
            ),
            by=frozenset({Role.PARTNER}),
        ),
    },
    initial=[State.UPLOADED],
)
# What a reviewer finds in the queue.
QUEUE = (State.WAITING_FOR_REVIEW, State.SECOND_REVIEW, State.IN_REVIEW, State.WAITING_FOR_PUBLISHER)
