"""Whether the site can do its work, part by part, asked of the parts themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from tuf.api.metadata import Metadata, Timestamp

from governance.access.hub import MAX_AGE_UNHEARD_S, hub
from governance.audit.selectors import broken_chains
from governance.keys.selectors import provider_state
from governance.tenants.context import platform_scope
from openclaw_site.heartbeats import worker_states
from skills.runtime.sandbox import sandbox_available

NEEDED = ("database", "migrations", "valkey", "inference")
LOW_DISK_BYTES = 200 * 1024 * 1024


@dataclass(slots=True)
class Readiness:
    """Each part's state: "ok", or a short word on what is wrong. Details stay in the log: the page is public.

    `ready` is about what a request needs. Without workers, say, the site still answers and keeps uploads for later, so
    a load balancer must not take it out; `healthy` is about everything.
    """

    parts: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return all(self.parts[name] == "ok" for name in NEEDED)

    @property
    def healthy(self) -> bool:
        return all(state == "ok" for state in self.parts.values())

    def as_dict(self) -> dict[str, object]:
        return {"ready": self.ready, "healthy": self.healthy, "parts": self.parts}


def readiness() -> Readiness:
    """Ask every part; one that does not answer never hides the others."""
    report = Readiness()
    for name, probe in PROBES.items():
        try:
            report.parts[name] = probe()
        except Exception:  # noqa: BLE001  whatever the part raised, the truth is that it does not work
            report.parts[name] = "unavailable"
    return report


def _database() -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    return "pending" if executor.migration_plan(executor.loader.graph.leaf_nodes()) else "ok"


def _valkey() -> str:
    cache.set("readiness", "ok", 10)
    return "ok" if cache.get("readiness") == "ok" else "unavailable"


def _workers() -> str:
    """Every queue must have a worker that has written its heartbeat."""
    served = {queue for worker in worker_states() if worker.alive for queue in worker.queues}
    missing = set(settings.CELERY_TASK_QUEUES_NAMES) - served
    return f"no worker for {', '.join(sorted(missing))}" if missing else "ok"


def _inference() -> str:
    """The hot route of this process."""
    from inference.serving.asgi import application

    return "ok" if application.started else "not started"


def _changes() -> str:
    """Whether this process hears of revocations as they happen. It obeys them within a second in either case."""
    if hub.connected:
        return "ok"
    return f"changes are not heard of; cached answers live {MAX_AGE_UNHEARD_S:.0f} s"


def _sandbox() -> str:
    """Whether plugin code can be confined here; where it cannot, none is run."""
    probe = sandbox_available()
    return "ok" if probe.ok else f"skills and dry runs are refused: {probe.reason}"


def _repository() -> str:
    """Whether the signed repository's timestamp would still be believed by a client."""
    path = settings.OPENCLAW_VAR / "tuf" / "metadata" / "timestamp.json"
    if not path.exists():
        return "ok"  # nothing has been published yet
    timestamp = Metadata[Timestamp].from_file(str(path))
    return "expired" if timestamp.signed.is_expired() else "ok"


def _disk() -> str:
    return "ok" if shutil.disk_usage(settings.OPENCLAW_VAR).free > LOW_DISK_BYTES else "full"


def _keys() -> str:
    """Whether the place where keys live answers: without it nothing sealed can be read or written."""
    return "ok" if provider_state().ok else "out of reach; nothing sealed can be read"


def _audit() -> str:
    """Whether every audit chain held when it was verified last. The site goes on: stopping would hide nothing less."""
    with platform_scope(), transaction.atomic():
        return "a chain is broken" if broken_chains().exists() else "ok"


PROBES: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "valkey": _valkey,
    "disk": _disk,
    "workers": _workers,
    "inference": _inference,
    "changes": _changes,
    "sandbox": _sandbox,
    "keys": _keys,
    "audit": _audit,
    "repository": _repository,
}
