"""Audit entries appended per second: one transaction each, as a request does it, by one writer and by four."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.access import measuring, world
from benchmarks.access.measuring import row

WORLD = world.make()

from django.db import transaction

from governance.audit.services import record
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

TARGET = ObjectRef("access.application", "1", label="a client")


def append() -> None:
    """One entry in its own transaction."""
    with tenant_context(WORLD.tenant.id), transaction.atomic():
        record(
            principal=WORLD.principal,
            action="access.application.create",
            target=TARGET,
            details={"scopes": ["models:infer"], "role": "service"},
        )


def main() -> None:
    row("one writer", **measuring.figures(measuring.timed(append, times=1_000)))
    writers, each = 4, 250
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(lambda _number: append(), range(writers)))
        began = time.perf_counter()
        list(pool.map(lambda _number: [append() for _ in range(each)], range(writers)))
    row("four writers of one chain", per_s=round(writers * each / (time.perf_counter() - began)))


if __name__ == "__main__":
    main()
