"""A fault put into a new version while it is rolled out: taken back without a person, and explained on its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openclaw_site.demo import tenant
from openclaw_site.demo.clients import Person, Program, wait_for
from openclaw_site.demo.steps import Step, StepFailed
from openclaw_site.demo.world import World

REQUESTS = 10
PERCENT = 50
PLAN: dict[str, Any] = {
    "steps": [{"percent": PERCENT, "min_s": 5, "max_s": 600}],
    "look_every_s": 1,
    "no_traffic_s": 2,
}


def play(
    step: Step,
    world: World,
    admin: Person,
    program: Program,
    *,
    endpoint: dict[str, str],
    good: str,
    faulty: str,
    body: dict[str, Any],
) -> None:
    """Damage the file of `faulty`, roll it out beside `good`, and watch the controller take it back."""
    endpoint_id, model = endpoint["id"], endpoint["model"]
    tenant.set_split(step, admin, endpoint_id, {good: 100}, reason="Room for a rollout")
    path = f"/v2/models/{model}/infer"
    program.call("POST", path, json=body)
    file = _artifact(world, admin, model, faulty)
    if not file.exists():
        step.note("the site's files lie elsewhere, so no fault is put in")
        return
    with _damaged(file):
        step.saw(f"the file of version {faulty} is damaged on disk")
        made = admin.post(
            "/api/v1/rollouts/",
            {
                "endpoint": endpoint_id,
                "kind": "canary",
                "version": faulty,
                "plan": PLAN,
                "reason": "Shown in the demo",
            },
            status=201,
        )
        step.saw(f"a canary of version {faulty} begins with {PERCENT} %")
        answered: Counter[str] = Counter()

        def over() -> dict[str, Any] | None:
            for _ in range(REQUESTS):
                answered[program.call("POST", path, json=body)["model_version"]] += 1
            found: dict[str, Any] = admin.get(f"/api/v1/rollouts/{made['id']}/")
            return found if found["ended_at"] else None

        ended = wait_for("the end of the rollout", over, timeout_s=60)
    step.expect(
        set(answered) == {good},
        f"{answered.total()} requests meanwhile: every one answered, by {good}",
        seen=dict(answered),
    )
    step.expect(
        ended["state"] == "rolled_back",
        f"rolled back without a person, at look {ended['looks']}: {ended['ended_reason']}",
        seen=ended["state"],
    )
    now = admin.get(f"/api/v1/endpoints/{endpoint_id}/")["split"]
    step.expect(now == [{"version": good, "weight": 100}], "the split is what it was before", seen=now)
    if ended["ended_reason"] not in admin.page(f"/console/rollouts/{made['id']}/"):
        raise StepFailed("the page of the rollout does not say why")
    step.saw(f"its page says why: {world.url}/console/rollouts/{made['id']}/")


def _artifact(world: World, admin: Person, model: str, version: str) -> Path:
    rows = admin.rows("/api/v1/model-versions/", model__name=model, version=version)
    sha256, owner = rows[0]["sha256"], admin.get("/api/v1/me/")["tenant_id"]
    return world.config.var / "objects" / owner / "artifacts" / sha256[:2] / sha256


@contextmanager
def _damaged(file: Path) -> Iterator[None]:
    """Another content in the file's place, for a while."""
    kept = file.with_name(f"{file.name}.kept")
    file.rename(kept)
    try:
        file.write_bytes(b"damaged")
        yield
    finally:
        kept.replace(file)
