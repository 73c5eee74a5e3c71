"""One process that may honour a token, as a web process does: says when it begins and when it stops to.

Prints `TIME allowed` or `TIME refused` (seconds since the epoch) whenever the answer changes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from uuid import UUID

import django

django.setup()

from governance.access.hub import hub
from inference.serving.listener import Listener
from inference.serving.lookups import CachedLookups
from inference.serving.sources import DatabaseSource

EVERY_S = 0.001


async def main(token: str, tenant_id: UUID, endpoint_name: str) -> None:
    lookups = CachedLookups(DatabaseSource())
    listener = Listener(lookups)
    await listener.start()
    assert hub.connected
    before: bool | None = None
    while True:
        caller = await lookups.identify(token)
        allowed = False
        if caller is not None:
            endpoint = await lookups.endpoint(tenant_id, endpoint_name)
            allowed = endpoint is not None and (await lookups.authorize(caller, endpoint)).allow
        if allowed != before:
            print(f"{time.time()} {'allowed' if allowed else 'refused'}", flush=True)
            before = allowed
        await asyncio.sleep(EVERY_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), sys.argv[3]))
