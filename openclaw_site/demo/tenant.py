"""The tenant's administrator of the demo: installs what was published, grants what it asks for, moves traffic."""

from __future__ import annotations

from typing import Any

from openclaw_site.demo.clients import Person, told, wait_for
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


def install(step: Step, admin: Person, plugin: str, version: str) -> dict[str, Any]:
    """Install the published version, or upgrade what is installed; grants exactly what it asks for."""
    found = find(step, admin, plugin, version)
    order = {"plugin_version": found["id"], "grants": found["permissions"]}
    refused = admin.send(
        "POST",
        "/api/v1/installations/",
        json=order | {"grants": [*found["permissions"], "network:example.com"]},
    )
    step.expect(
        refused.status_code == 400,
        f"a right that it does not ask for: 400 {told(refused)}",
        seen=refused.text,
    )
    rows = admin.rows("/api/v1/installations/", plugin__slug=plugin)
    present = next((row for row in rows if row["state"] != "uninstalled"), None)
    path = f"/api/v1/installations/{present['id']}/upgrade/" if present else "/api/v1/installations/"
    made = admin.post(path, order, status=202)

    def probe() -> dict[str, Any] | None:
        now: dict[str, Any] = admin.get(f"/api/v1/installations/{made['id']}/")
        if now["state"] == "failed":
            raise StepFailed(f"the installation failed: {now['error']}")
        return now if now["state"] == "active" and now["active_version"] == version else None

    done = wait_for(f"the installation of {plugin} {version}", probe)
    produced = ", ".join(
        f"{item['kind'].replace('_', ' ')} {item['name']}"
        for item in done["produced"]
        if item["version"] == version
    )
    step.saw(f"{'upgraded' if present else 'installed'}: downloaded, verified; it gave the tenant {produced}")
    return done


def make_client(admin: Person, *, endpoints: dict[str, str], skill: str) -> dict[str, Any]:
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
    return made


def endpoint_for(step: Step, admin: Person, *, name: str, model: str, version: str) -> dict[str, Any]:
    """The endpoint `name` that the first installation made, with all its traffic on this version."""
    versions = admin.rows("/api/v1/model-versions/", model__name=model, version=version)
    if not versions or versions[0]["state"] != "ready":
        raise StepFailed(f"the registry has no ready {model} {version}")
    step.saw(f"the registry: {model} {version}, ready, sha256 {versions[0]['sha256'][:16]}…")
    known = admin.rows("/api/v1/endpoints/", name=name)
    if not known:
        raise StepFailed(f"the installation made no endpoint “{name}”")
    step.saw(f"the endpoint “{name}”, whose callers notice nothing of what stands behind it")
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
