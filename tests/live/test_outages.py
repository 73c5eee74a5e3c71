"""What breaks in a real house: a worker is killed, a right is taken back, the database or Valkey goes away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from openclaw_site.demo.clients import Person, Program
from openclaw_site.demo.people import PARTNER_USER
from openclaw_site.demo.usage import MODEL, TRIAGE_MODEL
from tests.factories.marketplace import package
from tests.live.site import LiveSite

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

WITHIN_S = 1.0
IMAGE = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}]}
ENDED = {"waiting_for_review", "check_error", "checks_failed"}
SECRETS = ("Traceback", 'File "', "psycopg", "redis.exceptions", "openclaw_app")


class Client:
    """A program of the demo's company that may call the digits endpoint, over `/v2` and over REST."""

    def __init__(self, site: LiveSite, admin: Person) -> None:
        self.site = site
        self.made = admin.post(
            "/api/v1/applications/",
            {"name": f"outage {time.monotonic_ns()}", "scopes": ["models:infer"]},
            status=201,
        )
        self.endpoint_id = admin.rows("/api/v1/endpoints/", name=MODEL)[0]["id"]
        admin.call("PUT", f"/api/v1/endpoints/{self.endpoint_id}/grants/{self.made['id']}")
        self.program = Program(
            site.url,
            label="outage",
            client_id=self.made["client_id"],
            client_secret=self.made["client_secret"],
        )
        self.program.authorise("models:infer")

    def infer(self, model: str = MODEL) -> httpx.Response:
        return self.program.send("POST", f"/v2/models/{model}/infer", json=IMAGE)

    def rest(self) -> httpx.Response:
        rows = {"rows": [{"image": [[[0.0] * 8] * 8]}]}
        return self.program.send("POST", f"/api/v1/endpoints/{MODEL}/predict", json=rows)

    def both_become(self, status: int) -> None:
        """Both faces answer so within a second of the change."""
        began = time.monotonic()
        for call in (self.infer, self.rest):
            while (answer := call()).status_code != status:
                assert time.monotonic() - began < WITHIN_S, f"{answer.status_code} {answer.text[:300]}"
                time.sleep(0.02)


@pytest.fixture
def admin(played: LiveSite) -> Iterator[Person]:
    with played.person("tenant-admin") as person:
        yield person


@pytest.fixture
def client(played: LiveSite, admin: Person) -> Iterator[Client]:
    made = Client(played, admin)
    with made.program:
        assert made.infer().status_code == 200, made.infer().text
        assert made.rest().status_code == 200, made.rest().text
        yield made


def test_a_worker_killed_in_the_middle_of_a_check_loses_nothing(played: LiveSite) -> None:
    with played.person(PARTNER_USER) as partner:
        data = package(name="survivor", version=f"1.0.{int(time.time())}")
        made = partner.call("POST", "/api/v1/submissions/", files={"file": ("survivor.zip", data)})

        def runs() -> dict[str, int]:
            rows = played.sql(
                "SELECT state, count(*) AS n FROM review_checkrun WHERE submission_id = %s GROUP BY state",
                made["id"],
            )
            return {row["state"]: row["n"] for row in rows}

        played.until(lambda: runs().get("running"), "a check to run", 30, every_s=0.01)
        played.kill_process("worker")
        left = runs()
        assert left.get("running", 0) + left.get("queued", 0) > 0, left
        played.start_process("worker")

        def ended() -> dict[str, Any] | None:
            now: dict[str, Any] = partner.get(f"/api/v1/submissions/{made['id']}/")
            return now if now["state"] in ENDED else None

        done = played.until(ended, "the checks to end", 240, every_s=0.5)
        assert done["state"] == "waiting_for_review"
        assert set(runs()) == {"done"}
        again = played.sql(
            "SELECT max(attempts) AS attempts FROM review_checkrun WHERE submission_id = %s", made["id"]
        )
        assert again[0]["attempts"] > 1, "the interrupted check was run again"
        partner.post(f"/api/v1/submissions/{made['id']}/withdraw/", {"reason": "test"})


def revoke_grant(client: Client, admin: Person) -> int:
    admin.call("DELETE", f"/api/v1/endpoints/{client.endpoint_id}/grants/{client.made['id']}")
    return 403


def revoke_token(client: Client, admin: Person) -> int:
    client.site.http.post(
        "/o/revoke/",
        data={"token": client.program.token},
        auth=(client.program.client_id, client.program.client_secret),
    ).raise_for_status()
    return 401


def disable_application(client: Client, admin: Person) -> int:
    admin.post(f"/api/v1/applications/{client.made['id']}/disable/")
    return 401


def disable_account(client: Client, admin: Person) -> int:
    client.site.sql(
        "UPDATE tenants_user SET is_active = false WHERE id ="
        " (SELECT service_user_id FROM access_application WHERE id = %s)",
        client.made["id"],
    )
    return 401


@pytest.mark.parametrize("revoke", [revoke_grant, revoke_token, disable_application, disable_account])
def test_what_is_taken_back_stops_within_a_second(
    revoke: Callable[[Client, Person], int], client: Client, admin: Person
) -> None:
    client.both_become(revoke(client, admin))


def test_a_suspended_tenant_stops_within_a_second_and_comes_back(client: Client) -> None:
    suspend = "UPDATE tenants_tenant SET suspended_at = {} WHERE slug = 'demo'"
    client.site.sql(suspend.format("now()"))
    try:
        client.both_become(401)
    finally:
        client.site.sql(suspend.format("NULL"))
    client.both_become(200)


def test_a_blocked_plugin_is_served_no_more(client: Client, admin: Person) -> None:
    with client.site.person("administrator") as administrator:
        endpoint = admin.rows("/api/v1/endpoints/", name=TRIAGE_MODEL)[0]["id"]
        admin.call("PUT", f"/api/v1/endpoints/{endpoint}/grants/{client.made['id']}")
        served = client.site.until(lambda: client.infer(TRIAGE_MODEL).status_code == 400, "the grant", 2)
        assert served, "the endpoint is there: it complains about the wrong input"
        for version in administrator.rows("/api/v1/plugin-versions/", plugin__slug=TRIAGE_MODEL):
            administrator.post(f"/api/v1/plugin-versions/{version['id']}/block/", {"reason": "test"})
        client.site.until(
            lambda: client.infer(TRIAGE_MODEL).status_code in (403, 404, 503), "the block to be felt", 5
        )


def clean(answer: httpx.Response) -> None:
    """An error that says when to come back, and tells a stranger nothing of the inside."""
    assert answer.status_code == 503, answer.text[:300]
    assert answer.headers["Retry-After"]
    assert not [word for word in SECRETS if word in answer.text]


def test_without_the_database_it_says_so_and_recovers_by_itself(client: Client) -> None:
    site = client.site
    with site.without_database():
        said = site.ready()
        assert said["status"] == 503
        assert said["parts"]["database"] != "ok"
        assert site.http.get("/health/live").status_code == 200
        time.sleep(WITHIN_S)  # cached answers are believed for a second while nothing can be heard
        clean(client.infer())
        assert "error" in client.infer().json()
        clean(site.http.get("/console/", headers={"Cookie": f"openclaw_session={'x' * 32}"}))
        clean(client.rest())
    site.until(site.healthy, "the site to recover", 60)
    site.until(lambda: client.infer().status_code == 200, "predictions", 10)
    # A thread whose connection died with the database may still find that out with its next request.
    site.until(lambda: client.rest().status_code == 200, "the REST API", 10)
    with site.person("tenant-admin") as admin:
        admin.page("/console/endpoints/")


def test_without_valkey_it_says_so_and_recovers_by_itself(client: Client) -> None:
    site = client.site
    with site.without_valkey():
        said = site.ready()
        assert said["status"] == 503
        assert said["parts"]["valkey"] != "ok"
        assert client.infer().status_code == 200, "the hot route does not need it"
        page = site.http.get("/accounts/login/")
        assert page.status_code == 200, "neither does a page"
    site.until(site.healthy, "the site to recover", 60)
    # Workers and beat have found their broker again: an upload is checked.
    with site.person(PARTNER_USER) as partner:
        data = package(name="after-the-outage", version=f"1.0.{int(time.time())}")
        made = partner.call("POST", "/api/v1/submissions/", files={"file": ("p.zip", data)})
        path = f"/api/v1/submissions/{made['id']}/"
        site.until(lambda: partner.get(path)["state"] in ENDED, "the checks to end", 120, every_s=0.5)
        partner.post(f"{path}withdraw/", {"reason": "test"})
