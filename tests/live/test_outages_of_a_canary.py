"""A canary under traffic while each part of the site is killed: the split stays safe, the controller resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openclaw_site.demo.clients import Person
from openclaw_site.demo.usage import MODEL
from tests.live.site import LiveSite
from tests.live.test_outages import IMAGE, SECRETS, Client
from tests.live.traffic import NOTHING, Answer, Traffic

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

PERCENT = 30
# Promotion waits until the test has broken everything: it ends the step's least time itself.
PLAN: dict[str, Any] = {
    "steps": [{"percent": PERCENT, "min_s": 7200, "max_s": 14400}],
    "guardrails": [{"metric": "error_rate", "tolerance": 0.05, "min_samples": 50}],
    "look_every_s": 1,
    "no_traffic_s": 600,
}
PATH = f"/v2/models/{MODEL}/infer"
BACK_S = 60.0


class Canary:
    """The rollout of the test with its traffic, and the two versions of its endpoint."""

    def __init__(self, site: LiveSite, admin: Person, client: Client) -> None:
        self.site, self.admin, self.client = site, admin, client
        split = admin.get(f"/api/v1/endpoints/{client.endpoint_id}/")["split"]
        # Whichever the demo, which other tests may have played again, left behind its endpoint.
        self.good, self.new = sorted(arm["version"] for arm in split)[-2:]
        self.outputs = {version: self._output(version) for version in (self.good, self.new)}
        self.traffic = Traffic(site.url, PATH, IMAGE, client.program.headers("POST"))
        self.id = ""

    def _output(self, version: str) -> tuple[float, ...]:
        answer = self.client.program.call("POST", f"/v2/models/{MODEL}/versions/{version}/infer", json=IMAGE)
        assert answer["model_version"] == version
        return tuple(answer["outputs"][0]["data"])

    def split(self, weights: dict[str, int]) -> None:
        self.admin.post(
            f"/api/v1/endpoints/{self.client.endpoint_id}/split/", {"weights": weights, "reason": "test"}
        )

    def start(self) -> None:
        order = {"endpoint": self.client.endpoint_id, "kind": "canary", "version": self.new, "plan": PLAN}
        self.id = self.admin.post("/api/v1/rollouts/", order, status=201)["id"]

    def row(self) -> dict[str, Any]:
        return self.site.sql("SELECT * FROM rollouts_rollout WHERE id = %s", self.id)[0]

    def looks_again(self) -> None:
        """The controller comes by after this moment, by the database's clock."""
        now = self.site.sql("SELECT clock_timestamp() AS now")[0]["now"]
        self.site.until(lambda: (self.row()["looked_at"] or now) > now, "a look of the controller", BACK_S)

    def answers_from(self, version: str) -> None:
        """That version answers a request that is asked for after this moment."""
        began_s = time.monotonic()
        self.site.until(
            lambda: any(answer.version == version for answer in self.traffic.since(began_s)),
            f"an answer of version {version}",
            BACK_S,
        )

    @contextmanager
    def without(self, part: str, kill: Callable[[], None], revive: Callable[[], None]) -> Iterator[float]:
        """`part` is killed, and comes back after the block; yields the moment of its death."""
        self.traffic.away = part
        kill()
        try:
            yield time.monotonic()
        finally:
            revive()
        self.answers_from(self.good)
        self.traffic.away = NOTHING

    def file_of(self, version: str) -> Path:
        row = self.admin.rows("/api/v1/model-versions/", model__name=MODEL, version=version)[0]
        owner = self.admin.get("/api/v1/me/")["tenant_id"]
        return self.site.folder / "objects" / owner / "artifacts" / row["sha256"][:2] / row["sha256"]


@pytest.fixture
def canary(played: LiveSite) -> Iterator[Canary]:
    with played.person("tenant-admin") as admin:
        client = Client(played, admin)
        with client.program:
            made = Canary(played, admin, client)
            made.split({made.good: 100, made.new: 0})
            with made.traffic:
                made.answers_from(made.good)
                yield made


def test_every_part_is_killed_in_the_middle_of_a_canary_and_it_reaches_its_verdict(canary: Canary) -> None:
    site, traffic = canary.site, canary.traffic
    canary.start()
    canary.answers_from(canary.new)
    canary.looks_again()
    began_s = time.monotonic()
    _without_background_work(canary)
    _without_valkey(canary)
    _without_postgres(canary)
    _without_web(canary)
    assert canary.row()["state"] == "running", "nothing of this is a verdict"

    site.sql(
        "UPDATE rollouts_rollout SET plan = jsonb_set(plan, '{steps,0,min_s}', '1') WHERE id = %s", canary.id
    )
    site.until(lambda: canary.row()["state"] != "running", "the verdict", BACK_S)
    ended = canary.row()
    assert ended["state"] == "promoted", ended["ended_reason"]
    _assert_every_answer_was_right(canary, traffic.since(began_s))
    _assert_the_history_is_whole(canary)


def _without_background_work(canary: Canary) -> None:
    """No worker and no beat: nobody looks, the traffic flows as it was; then looks go on where they were."""

    def kill() -> None:
        canary.site.kill_process("beat")
        canary.site.kill_process("worker")

    def revive() -> None:
        canary.site.start_process("worker")
        canary.site.start_process("beat")

    with canary.without("worker", kill, revive) as died_s:
        before = canary.row()
        canary.answers_from(canary.new)
        assert canary.row() == before, "nobody looks"
        assert {answer.status for answer in canary.traffic.since(died_s)} == {200}
    canary.looks_again()


def _without_valkey(canary: Canary) -> None:
    """The broker dies with its queues: the traffic flows, and looks come again by themselves."""
    valkey = canary.site.services.valkey
    with canary.without("valkey", valkey.child.kill, valkey.start) as died_s:
        canary.answers_from(canary.new)
        assert {answer.status for answer in canary.traffic.since(died_s)} == {200}
    canary.looks_again()


def _without_postgres(canary: Canary) -> None:
    """The database crashes: 503 that say when to come back, then answers by the split as it was."""
    postgres, traffic = canary.site.services.postgres, canary.traffic
    with canary.without("postgres", postgres.child.kill, postgres.start) as died_s:
        canary.site.until(
            lambda: [answer for answer in traffic.since(died_s) if answer.status == 503], "a refusal", BACK_S
        )
    canary.looks_again()
    canary.answers_from(canary.new)


def _without_web(canary: Canary) -> None:
    """The web process dies, and the new version's file is away when it comes back: the stable one answers all."""
    site, traffic = canary.site, canary.traffic
    file = canary.file_of(canary.new)
    kept = file.with_name(f"{file.name}.kept")
    with canary.without("web", lambda: site.kill_process("web"), lambda: site.start_process("web")):
        file.rename(kept)
    try:
        back_s = time.monotonic()
        site.until(lambda: len(traffic.since(back_s)) > 200, "traffic", BACK_S)
        alone = traffic.since(back_s)
        assert {(answer.status, answer.version, answer.propensity) for answer in alone} == {
            (200, canary.good, 1.0)
        }, "a version that is not ready takes nothing from the one that is"
    finally:
        kept.rename(file)
    canary.answers_from(canary.new)
    canary.looks_again()


def _assert_every_answer_was_right(canary: Canary, answers: list[Answer]) -> None:
    """By the version it names, with a share of the split; whatever else came is a clean refusal of its outage."""
    assert len(answers) > 500
    for answer in answers:
        if answer.status == 200:
            assert answer.output == pytest.approx(canary.outputs[answer.version], abs=1e-5)
            continue
        if answer.status == 0:
            assert "web" in answer.away, answer
            continue
        assert answer.status == 503, answer
        assert answer.away & {"postgres", "web"}, answer
        assert answer.retry_after, answer
        assert not [word for word in SECRETS if word in answer.text], answer
    before_the_end = [answer for answer in answers if answer.version == canary.new and answer.propensity < 1]
    assert {round(answer.propensity, 3) for answer in before_the_end} == {PERCENT / 100}


def _assert_the_history_is_whole(canary: Canary) -> None:
    """One start, one promotion, looks without a gap, each change of the split in the audit log."""
    changes = canary.site.sql(
        "SELECT after FROM rollouts_splitchange WHERE rollout_id = %s ORDER BY id", canary.id
    )
    assert [change["after"][canary.new] for change in changes] == [PERCENT, 100]
    looks = canary.site.sql(
        "SELECT number, action, verdict FROM rollouts_rolloutlook WHERE rollout_id = %s ORDER BY number",
        canary.id,
    )
    assert [look["number"] for look in looks] == list(range(1, len(looks) + 1))
    assert [look["action"] for look in looks if look["action"] != "none"] == ["promote"]
