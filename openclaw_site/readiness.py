"""Whether the site can do its work, part by part, asked of the parts themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

LOW_DISK_BYTES = 200 * 1024 * 1024


@dataclass(slots=True)
class Readiness:
    """Each part's state: "ok", or a short word on what is wrong. Details stay in the log: the page is public."""

    parts: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return all(state == "ok" for state in self.parts.values())

    def as_dict(self) -> dict[str, object]:
        return {"ready": self.ready, "parts": self.parts}


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


def _disk() -> str:
    return "ok" if shutil.disk_usage(settings.OPENCLAW_VAR).free > LOW_DISK_BYTES else "full"


PROBES: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "valkey": _valkey,
    "disk": _disk,
}
