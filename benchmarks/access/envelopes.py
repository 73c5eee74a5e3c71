"""Envelopes against plain AES-256-GCM of the same library (`cryptography`), turn by turn, same bytes and same chunks.

A ratio of 1 is as fast as plain encryption; what is missing pays for the key hierarchy, the associated data and, for
streams, for order and truncation being checked.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable

from benchmarks.access import world
from benchmarks.access.measuring import row

WORLD = world.make()

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction

from governance.access.hub import hub
from governance.keys.envelopes import seal, seal_stream, unseal
from governance.tenants.context import tenant_context

ROUNDS = 5
CHUNK = 1 << 20
PLACE = {"tenant_id": WORLD.tenant.id, "purpose": "benchmark", "object_id": "1"}


class Zeros(io.RawIOBase):
    """A file of so many bytes that costs nothing to read."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.block = bytes(CHUNK)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        given = self.block[: min(size if size >= 0 else CHUNK, CHUNK, self.left)]
        self.left -= len(given)
        return given


class Nowhere(io.RawIOBase):
    """Takes everything."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return memoryview(data).nbytes  # type: ignore[arg-type]


def seconds(call: Callable[[], object], times: int) -> float:
    """How long one of `times` calls takes."""
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def compare(
    case: str, size: int, times: int, ours: Callable[[], object], plain: Callable[[], object]
) -> None:
    """One row from alternating rounds."""
    ours(), plain()
    taken = [(seconds(ours, times), seconds(plain, times)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(column) for column in zip(*taken, strict=True))
    row(
        case,
        ms=round(mine * 1e3, 4),
        mb_per_s=round(size / mine / 1e6),
        ratio_to_plain=round(theirs / mine, 2),
    )


def main() -> None:
    key = AESGCM(AESGCM.generate_key(256))
    hub.start()
    with tenant_context(WORLD.tenant.id), transaction.atomic():
        seal(b"the tenant's first key is made and committed here", **PLACE)
    with tenant_context(WORLD.tenant.id), transaction.atomic():
        for name, size, times in (("1 kB", 1_000, 3_000), ("1 MB", 1_000_000, 200)):
            data = os.urandom(size)
            sealed = seal(data, **PLACE)
            nonce = os.urandom(12)
            plain = key.encrypt(nonce, data, b"aad")
            compare(
                f"seal {name}",
                size,
                times,
                lambda data=data: seal(data, **PLACE),
                lambda data=data: key.encrypt(os.urandom(12), data, b"aad"),
            )
            compare(
                f"open {name}",
                size,
                times,
                lambda sealed=sealed: unseal(sealed, **PLACE),
                lambda plain=plain, nonce=nonce: key.decrypt(nonce, plain, b"aad"),
            )
        compare("seal a stream of 1 GB", 1 << 30, 1, sealed_stream, lambda: plain_stream(key))


def sealed_stream() -> None:
    """1 GB through the sealed stream."""
    seal_stream(Zeros(1 << 30), Nowhere(), **PLACE)


def plain_stream(key: AESGCM) -> None:
    """1 GB, every megabyte encrypted by itself."""
    reader, writer = Zeros(1 << 30), Nowhere()
    while data := reader.read(CHUNK):
        writer.write(key.encrypt(os.urandom(12), data, b"aad"))


if __name__ == "__main__":
    main()
