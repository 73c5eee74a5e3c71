"""The calls of a client about endpoints, their split and rules, rollouts and experiments.

They need an application with the scopes of `RELEASE` and a role that may release (tenant administrator, data
scientist): `Client(…, scope=RELEASE)`. An endpoint is named by its name or its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict
from urllib.parse import urlencode
from uuid import UUID

from openclaw_client.calls import Calls, ClientError

RELEASE = "models:read tenant:manage"
Weights = Mapping[str, int]
Step = Literal["hold", "resume", "promote", "roll_back", "cancel"]
STEPS: dict[str, str] = {
    "hold": "hold",
    "resume": "resume",
    "promote": "promote",
    "roll_back": "rollback",
    "cancel": "cancel",
}


class Rollout(TypedDict):
    """A rollout as it is now. `question` is the oversight task that it waits for."""

    id: str
    endpoint: str
    kind: Literal["canary", "blue_green", "bandit", "experiment"]
    state: Literal["running", "holding", "promoted", "rolled_back", "cancelled"]
    stable: str
    candidate: str | None
    plan: dict[str, Any]
    before: dict[str, int]
    step: int
    step_started_at: str
    looks: int
    looked_at: str | None
    reason: str
    ended_reason: str
    question: str | None
    started_by_label: str
    started_at: str
    ended_at: str | None


class PlannedExperiment(TypedDict):
    """The whole plan of an experiment, and its size: samples and requests per treatment, and seconds."""

    plan: dict[str, Any]
    size: dict[str, Any]


class RolloutCalls(Calls):
    """What `Client` does with rollouts. Every call raises ClientError where the site refuses."""

    def endpoints(self) -> list[dict[str, Any]]:
        """All endpoints with their split."""
        return list(self._rows("/api/v1/endpoints/"))

    def endpoint(self, endpoint: str) -> dict[str, Any]:
        """One endpoint with its split, its routing rules, and the figures of the last minutes."""
        return dict(self._call("GET", self._endpoint(endpoint)).json())

    def set_split(self, endpoint: str, weights: Weights, *, reason: str = "") -> dict[str, Any]:
        """Move traffic: whole percents by version, which sum to 100. Returns the endpoint."""
        body = {"weights": dict(weights), "reason": reason}
        return dict(self._post(f"{self._endpoint(endpoint)}split/", body))

    def undo_split(self, endpoint: str, *, reason: str = "") -> dict[str, Any]:
        """Take the last change of the split or the rules back. Returns the endpoint."""
        return dict(self._post(f"{self._endpoint(endpoint)}rollback/", {"reason": reason}))

    def estimate_split(self, endpoint: str, weights: Weights, *, reward: str = "") -> dict[str, Any]:
        """What another split would have earned on the logged traffic of two weeks; nothing is changed."""
        body: dict[str, Any] = {"weights": dict(weights)} | ({"reward": reward} if reward else {})
        return dict(self._post(f"{self._endpoint(endpoint)}estimate-split/", body))

    def set_routing(
        self,
        endpoint: str,
        *,
        cohorts: Sequence[Mapping[str, Any]] = (),
        shadows: Sequence[Mapping[str, Any]] = (),
        reason: str = "",
    ) -> dict[str, Any]:
        """Set all rules beside the split: `{"name", "version", "members"}` and `{"version", "percent"}`."""
        body = {"cohorts": list(cohorts), "shadows": list(shadows), "reason": reason}
        return dict(self._post(f"{self._endpoint(endpoint)}routing/", body))

    def rollouts(self, *, endpoint: str = "", state: str = "", kind: str = "") -> list[Rollout]:
        """Rollouts, the newest first."""
        asked = {"endpoint": self._endpoint_id(endpoint) if endpoint else "", "state": state, "kind": kind}
        query = urlencode({name: value for name, value in asked.items() if value})
        return list(self._rows(f"/api/v1/rollouts/?{query}"))

    def rollout(self, rollout_id: str) -> Rollout:
        """One rollout, with its newest look as `last_look`."""
        found: Rollout = self._call("GET", f"/api/v1/rollouts/{rollout_id}/").json()
        return found

    def rollout_looks(self, rollout_id: str) -> list[dict[str, Any]]:
        """The evidence of every look, the newest first."""
        return list(self._rows(f"/api/v1/rollouts/{rollout_id}/looks/"))

    def start_rollout(
        self,
        endpoint: str,
        version: str,
        *,
        kind: str = "canary",
        plan: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Rollout:
        """Bring a version in by `canary` or `blue_green`; what the plan leaves out has a default."""
        return self._begin(endpoint, kind=kind, version=version, plan=dict(plan or {}), reason=reason)

    def start_bandit(
        self,
        endpoint: str,
        versions: Sequence[str],
        *,
        plan: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Rollout:
        """Let versions compete with the one that has all traffic, by a policy (thompson, ucb1) and a reward."""
        return self._begin(
            endpoint, kind="bandit", versions=list(versions), plan=dict(plan or {}), reason=reason
        )

    def change_rollout(
        self,
        rollout_id: str,
        step: Step,
        *,
        reason: str = "",
        version: str = "",
        expected_state: str = "",
        expected_step: int | None = None,
    ) -> Rollout:
        """Hold, resume, promote, roll back or cancel a rollout; `version` names the winner where several compete.

        With what is expected it does that only while the rollout stands so: two people cannot undo each other.
        """
        body: dict[str, Any] = {
            "reason": reason,
            "expected_state": expected_state,
            "expected_step": expected_step,
        }
        if step == "promote":
            body["version"] = version
        done: Rollout = self._post(f"/api/v1/rollouts/{rollout_id}/{STEPS[step]}/", body)
        return done

    def decide_rollout(
        self,
        rollout_id: str,
        step: Literal["resume", "promote", "roll_back"],
        *,
        reason: str,
        version: str = "",
    ) -> Rollout:
        """Answer a rollout that waits for a person; one that waits no longer is left alone (ClientError, 409)."""
        return self.change_rollout(rollout_id, step, reason=reason, version=version, expected_state="holding")

    def plan_experiment(
        self, endpoint: str, plan: Mapping[str, Any], *, per_second: float | None = None
    ) -> PlannedExperiment:
        """Check a plan, and say how many requests and how long it needs; nothing is changed."""
        body = dict(plan) | ({} if per_second is None else {"per_second": per_second})
        sized: PlannedExperiment = self._post(f"{self._endpoint(endpoint)}experiments/plan/", body)
        return sized

    def start_experiment(self, endpoint: str, plan: Mapping[str, Any], *, reason: str = "") -> Rollout:
        """Divide the traffic between the present version and treatments."""
        begun: Rollout = self._post(
            f"{self._endpoint(endpoint)}experiments/", {**dict(plan), "reason": reason}
        )
        return begun

    def stop_arm(self, rollout_id: str, version: str, *, reason: str = "") -> Rollout:
        """Give one treatment of an experiment nothing any more; the control gets its share."""
        body = {"version": version, "reason": reason}
        done: Rollout = self._post(f"/api/v1/rollouts/{rollout_id}/stop-arm/", body)
        return done

    def _begin(self, endpoint: str, **body: Any) -> Rollout:
        begun: Rollout = self._post("/api/v1/rollouts/", {"endpoint": self._endpoint_id(endpoint), **body})
        return begun

    def _endpoint(self, endpoint: str) -> str:
        return f"/api/v1/endpoints/{self._endpoint_id(endpoint)}/"

    def _endpoint_id(self, endpoint: str) -> str:
        try:
            return str(UUID(endpoint))
        except ValueError:
            found = next(self._rows(f"/api/v1/endpoints/?{urlencode({'name': endpoint})}"), None)
        if found is None:
            raise ClientError(404, f"There is no endpoint “{endpoint}” that you may see.")
        return str(found["id"])
