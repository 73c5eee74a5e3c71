"""Bandit rollouts: several versions compete, and the rewards that came back move the traffic between them.

The shares are computed anew at every look from all rewards since the start, so that late and corrected ones count as if
they had come in time, and the hot route only ever reads a split. Rewards that are still to come count for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import Conflict, InvalidInput
from governance.ethics.selectors import without_approval
from governance.principals import Principal
from inference.registry.models import ModelVersion
from inference.rollouts.analysis.sequential import Rate, always_valid_p, exact_evidence
from inference.rollouts.analysis.windows import ArmWindow
from inference.rollouts.bandits.policies import (
    ArmState,
    BanditState,
    Policy,
    allocation,
    best_probabilities,
    holdout_percent,
)
from inference.rollouts.lifecycle import database_time
from inference.rollouts.looks import Look
from inference.rollouts.models import Rollout, RolloutLook
from inference.rollouts.rollout_services import begin_rollout, locked_rollout, set_shares, whole_split
from inference.rollouts.spans import Span
from inference.rollouts.splitting import locked, restorable, split_of, versions_for
from inference.rollouts.windows import SETTLE, arm_windows

REWARDS = ("reward", "task_completed")
MAX_VERSIONS = 10
# Smaller moves than this are noise, and each is an entry in the history.
LEAST_MOVE = 2

# By field of the plan: its types, and the least and most that are allowed.
BOUNDS: dict[str, tuple[tuple[type, ...], float, float]] = {
    "floor": ((int,), 0, 50),
    "cap": ((int,), 1, 100),
    "holdout": ((int, float), 0.0, 1.0),
    "gamma_per_hour": ((int, float), 0.5, 1.0),
    "error_tolerance": ((int, float), 0.0, 0.5),
    "alpha": ((int, float), 0.001, 0.2),
    "look_every_s": ((int, float), 1.0, 3600.0),
}

# The newest value of each decision, faded by its age in hours.
RESOLVED = """
    SELECT o.model_version_id, sum(w * f.number), sum(w)
    FROM rollouts_outcomerecord o
    JOIN (
        SELECT DISTINCT ON (decision_id) decision_id, number, at,
               power(%(gamma)s::float8, greatest(0, extract(epoch FROM (%(now)s - at)) / 3600)::float8) AS w
        FROM rollouts_feedback WHERE endpoint_id = %(endpoint)s AND kind = %(kind)s AND at > %(since)s
        ORDER BY decision_id, id DESC
    ) f ON f.decision_id = o.id
    WHERE o.endpoint_id = %(endpoint)s AND o.at > %(since)s AND o.chosen IN ('split', 'sticky')
    GROUP BY o.model_version_id
"""


@dataclass(frozen=True, slots=True)
class BanditPlan:
    """What the controller goes by. `cap` is the most of each version but the first, `holdout` is dealt out evenly.

    A version whose error rate exceeds the first one's by more than `error_tolerance` is stopped; `alpha` is the chance
    that this ever happens wrongly to any.
    """

    versions: tuple[str, ...]
    policy: str = "thompson"
    reward: str = "reward"
    floor: int = 2
    cap: int = 100
    holdout: float = 0.1
    gamma_per_hour: float = 1.0
    error_tolerance: float = 0.01
    alpha: float = 0.05
    look_every_s: float = 60.0

    @property
    def least(self) -> int:
        """The whole percent that every version keeps."""
        return max(self.floor, holdout_percent(self.holdout, arms=len(self.versions)))


def checked_bandit(versions: list[str], given: Mapping[str, Any]) -> BanditPlan:
    """The plan that a person asked for. Raises InvalidInput that says what is wrong and points at the field."""
    if not 2 <= len(set(versions)) == len(versions) <= MAX_VERSIONS:
        raise _wrong("/versions", _("2 to %(most)d different versions compete.") % {"most": MAX_VERSIONS})
    if unknown := sorted(set(given) - (set(BanditPlan.__dataclass_fields__) - {"versions"})):
        raise _wrong("/plan", _("A plan has no “%(name)s”.") % {"name": unknown[0][:64]})
    plan = BanditPlan(tuple(versions), **given)
    if plan.policy not in list(Policy) or plan.reward not in REWARDS:
        raise _wrong(
            "/plan/reward" if plan.policy in list(Policy) else "/plan/policy",
            _("A bandit goes by a policy (%(policies)s) and a reward (%(rewards)s).")
            % {"policies": ", ".join(Policy), "rewards": ", ".join(REWARDS)},
        )
    for name, (kinds, low, high) in BOUNDS.items():
        value = getattr(plan, name)
        if type(value) not in kinds or not low <= value <= high:
            raise _wrong(
                f"/plan/{name}",
                _("“%(name)s” is a number from %(least)s to %(most)s.")
                % {"name": name, "least": f"{low:g}", "most": f"{high:g}"},
            )
    if plan.least * len(versions) > 100 or plan.cap < plan.least:
        raise _wrong(
            "/plan/floor", _("Floor, holdout and cap leave no whole split between so many versions.")
        )
    return plan


def start_bandit(
    *,
    principal: Principal,
    endpoint_id: UUID,
    versions: list[str],
    plan: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Rollout:
    """Let versions compete with the one that has all traffic. Each begins with its least share."""
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        before, stable = whole_split(endpoint)
        others = [version for version in versions if version != stable.version]
        checked = checked_bandit([stable.version, *others], plan or {})
        weights = dict.fromkeys([*before, *others], 0) | dict.fromkeys(others, checked.least)
        weights[stable.version] = 100 - checked.least * len(others)
        found = versions_for(endpoint, restorable(endpoint, weights))
        return begin_rollout(
            endpoint,
            found,
            principal=principal,
            kind=Rollout.Kind.BANDIT,
            stable=stable,
            candidate=None,
            plan=asdict(checked),
            before=before,
            reason=reason,
        )


def weigh(*, principal: Principal, rollout_id: UUID, reason: str, weights: Mapping[str, int]) -> Rollout:
    """Give the competing versions these shares."""
    with transaction.atomic():
        endpoint, rollout = locked_rollout(principal, rollout_id)
        if rollout.state != Rollout.State.RUNNING:
            raise Conflict(_("The rollout is not running."))
        set_shares(endpoint, rollout, weights, principal=principal, reason=reason)
    return rollout


def judged_bandit(rollout: Rollout) -> Look:
    """The shares of the next while. A version that may not answer, or that errs, keeps nothing."""
    plan = BanditPlan(**rollout.plan)
    endpoint = rollout.endpoint
    ids = dict(
        ModelVersion.objects.filter(model_id=endpoint.model_id, version__in=plan.versions).values_list(
            "version", "id"
        )
    )
    span = Span(endpoint.id, rollout.started_at + SETTLE, database_time())
    windows = arm_windows(span, list(ids.values()), thresholds={}, feedback=False)
    stopped = _stopped(rollout, plan, ids, windows)
    left = [version for version in plan.versions if version not in stopped]
    state = _state(rollout, plan, ids, span)
    arms = {
        version: {
            "requests": windows[ids[version]].requests,
            "errors": windows[ids[version]].errors,
            "successes": round(state.arms[version].successes, 2),
            "failures": round(state.arms[version].failures, 2),
        }
        for version in plan.versions
    }
    best = best_probabilities([state.arms[version] for version in plan.versions])
    for version, probability in zip(plan.versions, best, strict=True):
        arms[version]["best"] = round(float(probability), 4)
    rollout.memory["stopped"] = stopped
    rollout.save(update_fields=["memory"])
    figures: dict[str, Any] = {"bandit": arms, "stopped": stopped}
    if left == list(plan.versions[:1]):
        reason = _("No version but the stable one is left.") + " " + " ".join(stopped.values())
        return Look("roll_back", RolloutLook.Action.ROLL_BACK, reason, figures=figures)
    present = split_of(endpoint)
    caps = dict.fromkeys(plan.versions[1:], plan.cap) | dict.fromkeys(stopped, 0)
    if plan.versions[0] in stopped or sum(caps.get(version, 100) for version in plan.versions) < 100:
        reason = _("What is left may not take all traffic: a person must decide.")
        return Look("inconclusive", RolloutLook.Action.ASK, reason, figures=figures)
    wanted = allocation(state, Policy(plan.policy), floor=plan.floor, caps=caps, holdout=plan.holdout)
    weights = dict.fromkeys(present, 0) | wanted
    figures["weights"] = weights
    newly = any(present.get(version) for version in stopped)
    moves = max(abs(weights[version] - present.get(version, 0)) for version in weights)
    if not newly and moves < LEAST_MOVE:
        return Look("hold", RolloutLook.Action.NONE, _("The shares fit the rewards."), figures=figures)
    reason = " ".join(stopped.values()) or _("The shares follow the rewards that came back.")
    return Look("hold", RolloutLook.Action.WEIGH, reason, figures=figures)


def _stopped(
    rollout: Rollout, plan: BanditPlan, ids: Mapping[str, UUID], windows: Mapping[UUID, ArmWindow]
) -> dict[str, str]:
    """Versions that get nothing any more, and why. The exact evidence holds for adaptive shares too."""
    states = dict(ModelVersion.objects.filter(pk__in=ids.values()).values_list("id", "state"))
    barred = without_approval("registry.modelversion", list(ids.values()), tenant_id=rollout.tenant_id)
    stopped: dict[str, str] = dict(rollout.memory.get("stopped", {}))
    stable = windows[ids[plan.versions[0]]]
    level = plan.alpha / (len(plan.versions) - 1)
    for version in plan.versions:
        window = windows[ids[version]]
        found = Rate(window.requests, window.errors)
        if states[ids[version]] != ModelVersion.State.READY or str(ids[version]) in barred:
            stopped[version] = _("Version %(version)s may not answer.") % {"version": version}
        elif version != plan.versions[0] and version not in stopped:
            evidence = exact_evidence(
                Rate(stable.requests, stable.errors), found, tolerance=plan.error_tolerance
            )
            if always_valid_p(evidence) <= level:
                stopped[version] = _(
                    "Version %(version)s fails in %(errors)d of %(requests)d requests, "
                    "the stable one in %(of)d of %(all)d."
                ) % {
                    "version": version,
                    "errors": window.errors,
                    "requests": window.requests,
                    "of": stable.errors,
                    "all": stable.requests,
                }
    return stopped


def _state(rollout: Rollout, plan: BanditPlan, ids: Mapping[str, UUID], span: Span) -> BanditState:
    with connection.cursor() as cursor:
        cursor.execute(
            RESOLVED,
            {
                "endpoint": rollout.endpoint_id,
                "kind": plan.reward,
                "gamma": plan.gamma_per_hour,
                "now": span.until,
                "since": span.since,
            },
        )
        found = {version: (float(total), float(count)) for version, total, count in cursor.fetchall()}
    return BanditState(
        {
            version: ArmState(total, max(0.0, count - total))
            for version in plan.versions
            for total, count in [found.get(ids[version], (0.0, 0.0))]
        }
    )


def _wrong(at: str, message: str) -> InvalidInput:
    """What is wrong at one place of the request, as a JSON pointer."""
    return InvalidInput(message, errors=[{"pointer": at, "detail": message}])
