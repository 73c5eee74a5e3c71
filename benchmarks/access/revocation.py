"""How long four processes go on honouring a right after it was taken away.

The time runs from just before the statement that commits the revocation to the last of the four processes refusing.
Each of them answers from memory, as a web process does, and looks every millisecond. All share the machine's cores.
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import graphs
from benchmarks.access import world
from benchmarks.access.measuring import row

WORLD = world.make()

from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.access.grants import give_grant, take_grant
from governance.access.models import Application
from governance.access.services import create_application
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership, Tenant, User
from inference.registry.services import register_model_version
from inference.rollouts.models import Endpoint
from inference.rollouts.services import create_endpoint
from openclaw_site.config import CHECKOUT

PROCESSES = 4
TRIALS = 200  # of each kind
INVOKE = "rollouts.invoke_endpoint"

Step = Callable[[], object]


def main() -> None:
    endpoint = make_endpoint()
    with tenant_context(WORLD.tenant.id), transaction.atomic():
        made = create_application(principal=WORLD.principal, name="revoked", scopes=["models:infer"])
    account = User.objects.get(pk=made.application.service_user_id)
    everything: list[float] = []
    with Watchers(token_of(made.application, made.client_secret), endpoint) as watchers:
        for case, (give, take) in rights(made.application, account, endpoint).items():
            taken = []
            for _ in range(TRIALS):
                watchers.wait_for("allowed")
                began = time.time()
                committed(take)
                taken.append((watchers.wait_for("refused") - began) * 1e3)
                committed(give)
            everything += taken
            row(case, **summary(taken))
    row("all trials", **summary(everything))


def rights(application: Application, account: User, endpoint: Endpoint) -> dict[str, tuple[Step, Step]]:
    """What can be taken away, as how it is given (again) and how it is taken."""
    clients = Application.objects.filter(pk=application.pk)
    tenants = Tenant.objects.filter(pk=WORLD.tenant.id)
    accounts = User.objects.filter(pk=account.pk)
    role = {"tenant_id": WORLD.tenant.id, "user_id": account.id, "role": Role.SERVICE.value}
    give_grant_now = lambda: give_grant(user=account, permission=INVOKE, target=endpoint)  # noqa: E731
    committed(give_grant_now)
    return {
        "grant removed": (
            give_grant_now,
            lambda: take_grant(user=account, permission=INVOKE, target=endpoint),
        ),
        "account disabled": (
            lambda: accounts.update(is_active=True),
            lambda: accounts.update(is_active=False),
        ),
        "role removed": (
            lambda: Membership.objects.get_or_create(**role),
            lambda: Membership.objects.filter(**role).delete(),
        ),
        "client disabled": (
            lambda: clients.update(disabled_at=None),
            lambda: clients.update(disabled_at=timezone.now()),
        ),
        "tenant suspended": (
            lambda: tenants.update(suspended_at=None),
            lambda: tenants.update(suspended_at=timezone.now()),
        ),
    }


def committed(step: Step) -> None:
    """Do it in a transaction of its own."""
    with platform_scope(), transaction.atomic():
        step()


def summary(taken: list[float]) -> dict[str, float]:
    """Trials, median, 99th percentile and the longest, in milliseconds."""
    ordered = sorted(taken)
    return {
        "trials": len(ordered),
        "p50_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
        "max_ms": round(ordered[-1], 1),
    }


class Watchers:
    """Four processes that watch one token."""

    def __init__(self, token: str, endpoint: Endpoint) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.access.watcher"]
        command += [token, str(WORLD.tenant.id), endpoint.name]
        self._processes = [
            subprocess.Popen(command, cwd=CHECKOUT, env=os.environ, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        self._said: list[queue.Queue[str]] = [queue.Queue() for _ in self._processes]
        for process, said in zip(self._processes, self._said, strict=True):
            threading.Thread(target=_read, args=(process, said), daemon=True).start()

    def __enter__(self) -> Watchers:
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def wait_for(self, state: str) -> float:
        """When the last of them said so."""
        last = 0.0
        for said in self._said:
            while True:
                at, now = said.get(timeout=60).split()
                if now == state:
                    last = max(last, float(at))
                    break
        return last


def _read(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put(line)


def make_endpoint() -> Endpoint:
    """An endpoint of the organisation."""
    with TemporaryDirectory() as folder, tenant_context(WORLD.tenant.id), transaction.atomic():
        model = next(iter(graphs.make(Path(folder))))
        version = register_model_version(
            principal=WORLD.principal,
            model_name="revoked",
            version="1.0.0",
            artifact=model.artifact,
            format="onnx",
            inputs=model.inputs,
            outputs=model.outputs,
            card="A model with random weights, for measuring.",
            source=ObjectRef(type="benchmarks.access", id="revoked"),
            labels=["public"],
        )
        return create_endpoint(principal=WORLD.principal, name="revoked", model_version_id=version.id)


def token_of(application: Application, secret: str) -> str:
    """An access token from the token endpoint."""
    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": secret}
    answer = Client(headers={"host": "127.0.0.1"}).post("/o/token/", body)
    assert answer.status_code == 200, answer.content
    return str(json.loads(answer.content)["access_token"])


if __name__ == "__main__":
    main()
