"""What a decision adds to a prediction on the hot route: from memory, and when it has to be made anew."""

from __future__ import annotations

import asyncio
import time

from benchmarks.access import measuring, world
from benchmarks.access.measuring import row

WORLD = world.make()

from dataclasses import replace

from governance.ids import uuid7
from governance.principals import Role
from inference.serving.lookups import CachedLookups, Caller
from inference.serving.sources import DatabaseSource


async def main() -> None:
    principal = replace(
        WORLD.principal, scopes=frozenset({"models:infer"}), roles=frozenset({Role.DEVELOPER})
    )
    caller = Caller(principal, time.time() + 3600)
    lookups = CachedLookups(DatabaseSource())
    lookups.heard(True)
    endpoint = world.Endpoint(uuid7(), WORLD.tenant.id)
    for case, forget in (("decision from memory", False), ("decision made anew", True)):
        taken = []
        for number in range(2_100):
            if forget:
                lookups.invalidate("policy", "")
            began = time.perf_counter()
            verdict = await lookups.authorize(caller, endpoint)
            if number >= 100:
                taken.append((time.perf_counter() - began) * 1e3)
            assert verdict.allow, verdict.reason
        row(case, **measuring.figures(sorted(taken)))
    lookups.close()


if __name__ == "__main__":
    asyncio.run(main())
