"""Two web processes and a Celery worker on one PostgreSQL and Valkey, and people and programs who use every face.

A face is asked whether it still honours a credential: both web processes by page, REST and hot route, an open
WebSocket on each, and a batch job that a worker computes meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from psycopg.rows import dict_row
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from openclaw_site.demo.clients import Person
from tests.services import DATABASE, TestServices

if TYPE_CHECKING:
    from governance.access.models import Application
    from governance.principals import Principal
    from governance.tenants.models import Tenant, User
    from inference.registry.models import ModelVersion
    from inference.rollouts.models import Endpoint
    from marketplace.catalog.models import PluginVersion

ROOT = Path(__file__).resolve().parents[2]
READY_S = 120.0
DEADLINE_S = 20.0  # generous: how long it really takes is measured by benchmarks/access/revocation.py
WEBS = 2
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
# Minutes of work: the job runs until it is stopped.
TRIPS, ROWS = 400_000, 5_000


def until(probe: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.05)
    return answer


class Processes:
    """The site in its own processes, on the services of this run."""

    def __init__(self, services: TestServices) -> None:
        self.services = services
        self.ports = [_free_port() for _ in range(WEBS)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        # All listen for changes under a name that a test can find.
        self.environment = os.environ | services.environment() | {"PYTHONWARNINGS": "ignore"}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Everything, until every web process is ready and the worker has written its heartbeat."""
        for number, port in enumerate(self.ports):
            self._start(
                f"web-{number}",
                *("granian", "--interface=asgi", "--host=127.0.0.1", f"--port={port}", "--workers=1"),
                *("--loop=uvloop", "--no-access-log", "openclaw_site.asgi:application"),
            )
        self._start(
            "worker",
            *("celery", "-A", "openclaw_site.celery", "worker", "--queues=default,checks,publish,batch"),
            *("--concurrency=1", "--loglevel=INFO", "--without-gossip", "--without-mingle"),
        )
        for url in self.urls:
            until(lambda url=url: self.parts(url).get("workers") == "ok", f"{url} to see its worker", READY_S)  # type: ignore[misc]

    def stop(self) -> None:
        """Stop what was started."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()

    def parts(self, url: str) -> dict[str, str]:
        """What a web process says about its parts."""
        try:
            said: dict[str, str] = httpx.get(f"{url}/health/ready", timeout=10).json()["parts"]
        except (httpx.TransportError, ValueError):
            return {}
        return said

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.services.folder / f"revocation-{name}.log"

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the database as the superuser, whom row security does not bind."""
        dsn = self.services.postgres.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
        with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        """Nobody hears of anything: listeners are thrown out, and thrown out again whenever they come back."""
        throw_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        dsn = self.services.postgres.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
        keeper = subprocess.Popen(
            [sys.executable, "-c", _THROW_OUT, dsn, throw_out], stdout=subprocess.PIPE, start_new_session=True
        )
        assert keeper.stdout is not None
        keeper.stdout.readline()
        try:
            yield
        finally:
            keeper.kill()
            keeper.wait()
            keeper.stdout.close()

    def _start(self, name: str, *argv: str) -> None:
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


_THROW_OUT = """
import sys, time, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    while True:
        connection.execute(sys.argv[2], ["openclaw listener"]).fetchall()
        print("out", flush=True) if sys.stdout else None
        time.sleep(0.01)
"""


class House:
    """A tenant with a quick and a slow model behind endpoints."""

    def __init__(self, processes: Processes) -> None:
        from governance.principals import Role
        from tests.factories.governance import make_member, make_tenant
        from tests.factories.inference import looping_model, make_endpoint, make_version

        self.site = processes
        self.platform: Tenant = make_tenant("platform", kind="platform")
        self.tenant: Tenant = make_tenant("bank", kind="organisation")
        self.admin: User = make_member(self.tenant, Role.TENANT_ADMIN)
        self.version: ModelVersion = make_version(self.principal)
        self.endpoint: Endpoint = make_endpoint(self.principal, self.version)
        self.slow_version: ModelVersion = make_version(
            self.principal, model="slow", artifact=looping_model(TRIPS)
        )
        self.slow: Endpoint = make_endpoint(self.principal, self.slow_version, name="slow")

    @property
    def principal(self) -> Principal:
        """The house's administrator."""
        from governance.access.principals import principal_for_user
        from tests.factories.governance import proven

        return principal_for_user(self.admin, tenant_id=self.tenant.id, signals=proven())

    @property
    def platform_principal(self) -> Principal:
        """An administrator of the platform."""
        from governance.access.principals import principal_for_user
        from governance.principals import Role
        from tests.factories.governance import make_member, proven

        user = make_member(self.platform, Role.PLATFORM_ADMIN)
        return principal_for_user(user, tenant_id=self.platform.id, signals=proven())

    def plugin(self) -> PluginVersion:
        """A published plugin version that brought both models, as installed in the tenant."""
        from governance.ids import uuid7
        from marketplace.catalog.models import Partner, Plugin, PluginVersion
        from marketplace.installs.models import Installation
        from tests.factories.governance import make_tenant

        acme = make_tenant("acme", kind="partner")
        partner = Partner.objects.create(tenant=acme, slug="acme")
        plugin = Plugin.objects.create(tenant=acme, partner=partner, slug="models")
        version = PluginVersion.objects.create(
            tenant=acme,
            plugin=plugin,
            version="1.0.0",
            state=PluginVersion.State.PUBLISHED,
            sha256="0" * 64,
            size_bytes=1,
            manifest={},
            risk_level=PluginVersion.Risk.LOW,
            purpose="test",
            submission_id=uuid7(),
            archive_path="none",
        )
        Installation.objects.create(
            tenant=self.tenant,
            plugin=plugin,
            version=version,
            active_version=version,
            state=Installation.State.ACTIVE,
            requested_by=self.admin,
            produced=[
                {"kind": "model_version", "id": str(made.id), "version": version.version}
                for made in (self.version, self.slow_version)
            ],
        )
        return version

    def developer(self) -> Credential:
        """A person who signed in, with an open page and a running batch job."""
        from governance.principals import Role
        from tests.factories.governance import PASSWORD, make_member

        user = make_member(self.tenant, Role.DEVELOPER)
        with Person(self.site.urls[0], username=user.username, password=PASSWORD) as person:
            headers = {"Cookie": person.cookie()}
        return Credential(self, user, headers, page="/console/batch/")

    def program(self) -> Credential:
        """An OAuth 2.0 client with a token."""
        from governance.tenants.context import tenant_context
        from inference.rollouts.services import grant_invoke
        from tests.factories.governance import bearer_token, make_application

        application, secret = make_application(
            self.tenant, scopes=["models:infer", "batch:write"], owner=self.admin
        )
        with tenant_context(self.tenant.id):
            for endpoint in (self.endpoint, self.slow):
                grant_invoke(principal=self.principal, endpoint_id=endpoint.id, application_id=application.id)
        token = bearer_token(application, secret)
        return Credential(
            self, application.service_user, {"Authorization": f"Bearer {token}"}, application=application
        )


class Credential:
    """Somebody's session or token, in use on every face of every process."""

    def __init__(
        self,
        house: House,
        user: User,
        headers: dict[str, str],
        *,
        page: str = "",
        application: Application | None = None,
    ) -> None:
        self.house, self.user, self.headers = house, user, headers
        self.page, self.application = page, application
        self._open = contextlib.ExitStack()
        self.job_id = self._start_job()
        self.sockets = [self._watch(url) for url in house.site.urls]

    def faces(self) -> dict[str, Callable[[], bool]]:
        """Every face by name, as a question whether it still honours the credential."""
        found: dict[str, Callable[[], bool]] = {"job": self._job_goes_on}
        for number, url in enumerate(self.house.site.urls):
            found[f"REST {number}"] = lambda url=url: self._get(f"{url}/api/v1/batch-jobs/{self.job_id}/")  # type: ignore[misc]
            found[f"socket {number}"] = lambda number=number: self._is_open(self.sockets[number])  # type: ignore[misc]
            if self.page:
                found[f"page {number}"] = lambda url=url: self._get(f"{url}{self.page}")  # type: ignore[misc]
            else:
                found[f"hot route {number}"] = lambda url=url: self._infer(url)  # type: ignore[misc]
        return found

    def end(self) -> None:
        """Leave nothing running."""
        self.house.site.sql(
            "UPDATE serving_batchshard SET state = 'cancelled', lease_until = NULL, lease_token = NULL"
            " WHERE job_id = %s",
            self.job_id,
        )
        self.house.site.sql(
            "UPDATE serving_batchjob SET state = 'cancelled', finished_at = now() WHERE id = %s"
            " AND finished_at IS NULL",
            self.job_id,
        )
        self._open.close()

    def job(self) -> dict[str, Any]:
        """The batch job's row."""
        return self.house.site.sql("SELECT * FROM serving_batchjob WHERE id = %s", self.job_id)[0]

    def _start_job(self) -> str:
        url = self.house.site.urls[0]
        answer = self._send(
            "POST",
            f"{url}/api/v1/batch-jobs/",
            data={"endpoint": "slow"},
            files={"file": ("rows.jsonl", b"[1,2,3]\n" * ROWS)},
        )
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        running = "SELECT 1 AS one FROM serving_batchshard WHERE job_id = %s AND state = 'running'"
        until(lambda: self.house.site.sql(running, job_id), "the worker to compute", READY_S)
        return job_id

    def _send(self, method: str, url: str, **more: Any) -> httpx.Response:
        headers = dict(self.headers)
        if method != "GET" and "Cookie" in headers:
            token = "c" * 32
            headers["Cookie"] += f"; openclaw_csrf={token}"
            headers |= {"X-CSRFToken": token, "Referer": f"{url}/"}
        return httpx.request(method, url, headers=headers, timeout=30, **more)

    def _get(self, url: str) -> bool:
        return self._send("GET", url).status_code == 200

    def _infer(self, url: str) -> bool:
        return self._send("POST", f"{url}/v2/models/adder/infer", json=BODY).status_code == 200

    def _watch(self, url: str) -> ClientConnection:
        headers = dict(self.headers)
        origin = Origin(url) if "Cookie" in headers else None
        opened = self._open.enter_context(
            connect(
                f"{url.replace('http', 'ws', 1)}/ws/batch-jobs/{self.job_id}/",
                origin=origin,
                additional_headers=headers,
            )
        )
        opened.recv(timeout=DEADLINE_S)
        return opened

    @staticmethod
    def _is_open(opened: ClientConnection) -> bool:
        try:
            while True:
                opened.recv(timeout=0)
        except TimeoutError:
            return True
        except ConnectionClosed:
            return False

    def _job_goes_on(self) -> bool:
        return self.job()["finished_at"] is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
