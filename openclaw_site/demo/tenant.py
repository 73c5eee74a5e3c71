"""The tenant's administrator of the demo: installs what was published, grants what it asks for, moves traffic."""

from __future__ import annotations

from typing import Any

from openclaw_site.demo.clients import Person
from openclaw_site.demo.steps import Step, StepFailed

CLIENT = "Reading application"
CLIENT_SCOPES = ["models:infer", "models:read", "batch:write", "skills:invoke"]


def find(step: Step, admin: Person, plugin: str, version: str) -> dict[str, Any]:
    """The published version in the catalogue, with what it asks for."""
    rows = admin.rows("/api/v1/plugin-versions/", plugin__slug=plugin, version=version, state="published")
    if not rows:
        raise StepFailed(f"the catalogue has no {plugin} {version}")
    found = rows[0]
    asked = ", ".join(found["permissions"]) or "no rights"
    step.saw(
        f"the catalogue: {plugin} {version} by {found['partner']['display_name']}, risk {found['risk_level']}, "
        f"asks for {asked}"
    )
    return found


def make_client(step: Step, admin: Person, *, endpoints: dict[str, str], skill: str) -> dict[str, Any]:
    """An OAuth 2.0 client that may call exactly these endpoints and this skill; earlier ones are disabled."""
    for old in admin.rows("/api/v1/applications/", name=CLIENT):
        if not old["disabled_at"]:
            admin.post(f"/api/v1/applications/{old['id']}/disable/")
    made: dict[str, Any] = admin.post(
        "/api/v1/applications/", {"name": CLIENT, "scopes": CLIENT_SCOPES}, status=201
    )
    for endpoint_id in endpoints.values():
        admin.call("PUT", f"/api/v1/endpoints/{endpoint_id}/grants/{made['id']}")
    admin.call("PUT", f"/api/v1/skills/{skill}/grants/{made['id']}")
    step.saw(
        f"a client for the developer: scopes {', '.join(CLIENT_SCOPES)}; may call {', '.join(endpoints)} and {skill}, "
        "nothing else"
    )
    return made


def endpoint_for(step: Step, admin: Person, *, name: str, model: str, version: str) -> dict[str, Any]:
    """The endpoint `name`, with all traffic on this version: made now, or moved from what it served before."""
    versions = admin.rows("/api/v1/model-versions/", model__name=model, version=version)
    if not versions or versions[0]["state"] != "ready":
        raise StepFailed(f"the registry has no ready {model} {version}")
    step.saw(f"the registry: {model} {version}, ready, sha256 {versions[0]['sha256'][:16]}…")
    known = admin.rows("/api/v1/endpoints/", name=name)
    if not known:
        endpoint = admin.post(
            "/api/v1/endpoints/", {"name": name, "model_version_id": versions[0]["id"]}, status=201
        )
        step.saw(f"the endpoint “{name}” is made")
        return dict(endpoint)
    step.saw(f"the endpoint “{name}” exists and is moved to {version}")
    return set_split(step, admin, known[0]["id"], {version: 100}, reason=f"Release {version}")


def set_split(
    step: Step, admin: Person, endpoint_id: str, weights: dict[str, int], *, reason: str
) -> dict[str, Any]:
    """Move traffic."""
    endpoint = admin.post(f"/api/v1/endpoints/{endpoint_id}/split/", {"weights": weights, "reason": reason})
    _expect_split(step, endpoint, weights, "the split is set")
    return dict(endpoint)


def roll_back(step: Step, admin: Person, endpoint_id: str, *, expected: dict[str, int]) -> None:
    """Take the last change back, as the console's button does."""
    endpoint = admin.post(f"/api/v1/endpoints/{endpoint_id}/rollback/", {"reason": "Shown in the demo"})
    _expect_split(step, endpoint, expected, "rolled back")
    changes = admin.get(f"/api/v1/endpoints/{endpoint_id}/changes/")["results"]
    for change in changes[:3]:
        step.note(f"{change['at'][11:19]}  {change['kind']} by {change['actor_label']}: {change['after']}")


def _expect_split(step: Step, endpoint: dict[str, Any], wanted: dict[str, int], text: str) -> None:
    split = {arm["version"]: arm["weight"] for arm in endpoint["split"]}
    words = ", ".join(f"{version} {weight} %" for version, weight in split.items())
    step.expect(split == wanted, f"{text}: {words}", seen=split)
