"""What another split would have earned on an endpoint's logged traffic, before anybody is sent there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from governance.errors import InvalidInput
from inference.rollouts.analysis.intervals import mean_interval
from inference.rollouts.analysis.quality import Estimate
from inference.rollouts.bandits.offpolicy import Log, PolicyValue, doubly_robust, ips, snips
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Feedback
from inference.rollouts.version_quality import NEWEST

WINDOW = timedelta(days=14)
MAX_DECISIONS = 50_000
ACCURACY = "accuracy"
REWARDS = (ACCURACY, *(kind for kind in Feedback.Kind.values if kind != Feedback.Kind.LABEL))

# Only what the split drew: who named a version or fell under a rule was not chosen by chance, and a session that keeps
# its version was drawn once for all of its requests.
RESOLVED = f"""
    SELECT v.version, o.propensity, CASE WHEN %(kind)s = 'label' THEN (f.text = o.predicted)::int ELSE f.number END
    FROM rollouts_outcomerecord o
    JOIN registry_modelversion v ON v.id = o.model_version_id
    JOIN ({NEWEST}) f ON f.decision_id = o.id AND f.kind = %(kind)s
    WHERE o.endpoint_id = %(endpoint)s AND o.at > %(since)s AND o.chosen = 'split' AND o.status < 400
          AND (%(kind)s <> 'label' OR o.predicted <> '')
    ORDER BY o.at DESC LIMIT %(most)s
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, slots=True)
class PolicyEstimate:
    """The mean reward that was earned, and what the other split would have earned by three estimators."""

    reward: str
    weights: dict[str, int]
    decisions: int
    earned: Estimate
    values: tuple[PolicyValue, ...]


def estimate_split(endpoint_id: UUID, *, weights: Mapping[str, int], reward: str) -> PolicyEstimate:
    """Estimate another split (whole percents by version) from the last two weeks' resolved decisions. One query.

    `reward` is a kind of feedback, or `accuracy` for labels. Raises InvalidInput for what cannot be estimated, with the
    reason: a version that the log knows nothing of, too few decisions.
    """
    if reward not in REWARDS:
        raise InvalidInput(_("Choose one of: %(known)s.") % {"known": ", ".join(REWARDS)})
    if not weights or any(weight < 0 for weight in weights.values()) or sum(weights.values()) != 100:
        raise InvalidInput(_("The shares must be whole percents that sum to 100."))
    kind = Feedback.Kind.LABEL if reward == ACCURACY else reward
    values: dict[str, Any] = {
        "endpoint": endpoint_id,
        "since": database_time() - WINDOW,
        "kind": kind,
        "most": MAX_DECISIONS,
    }
    with connection.cursor() as cursor:
        cursor.execute(RESOLVED, values)
        rows = cursor.fetchall()
    target = {version: weight / 100 for version, weight in weights.items() if weight}
    try:
        log = Log.of([(version, propensity, float(number)) for version, propensity, number in rows])
        found = (ips(log, target), snips(log, target), doubly_robust(log, target))
    except ValueError as error:
        raise InvalidInput(
            _("This split cannot be estimated: %(why)s.") % {"why": str(error)},
            hint=_("Send a part of the traffic to every version, and tell what became of the answers."),
        ) from error
    earned = Estimate(float(log.rewards.mean()), mean_interval(log.rewards))
    return PolicyEstimate(reward, dict(weights), len(rows), earned, found)
