"""Envelopes against plain AES-256-GCM of the same library (`cryptography`), turn by turn, same bytes and same chunks.

A ratio of 1 is as fast as plain encryption; what is missing pays for the key hierarchy, the associated data and, for
streams, for order and truncation being checked. Streams are compared in their own chunks (256 kB), once more with plain
chunks of 1 MB, which is how one would do it without a format.

An unwrap asks the provider for a data key: warm with the provider's own handles at hand, cold in a session of its own.
What a process does most costs neither: it remembers opened data keys, which is the row “key from memory”.

A message of 1 MB is as much about memory as about encryption: where the allocator gives large buffers back to the
system, the pages of a new one cost about as much as encrypting into it. `seal` makes one new buffer, its answer, as
`encrypt` does.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.access import world
from benchmarks.access.measuring import figures, row, timed

WORLD = world.make()

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction

from governance.access.hub import hub
from governance.keys.envelopes import open_sealed, seal, seal_stream, unseal, unseal_stream
from governance.keys.keyring import key_for_sealing
from governance.keys.providers import KeyProvider, PKCS11Provider, SoftwareKeyProvider, TokenAddress
from governance.keys.streams import DEFAULT_CHUNK, TAG_BYTES
from governance.tenants.context import tenant_context

ROUNDS = 5
CHUNK = 1 << 20
GB = 1 << 30
SOFTHSM_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)
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


class Again(io.RawIOBase):
    """A sealed stream in memory, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        given = bytes(self._data[self._at : end])
        self._at += len(given)
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
        for chunk, label in ((1 << DEFAULT_CHUNK, "same chunks"), (1 << 20, "plain in 1 MB")):
            compare(
                f"seal a stream of 1 GB ({label})", GB, 1, sealed_stream, partial(plain_stream, key, chunk)
            )
        opened_streams(key)
        unwraps()


def sealed_stream() -> None:
    """1 GB through the sealed stream."""
    seal_stream(Zeros(GB), Nowhere(), **PLACE)


def plain_stream(key: AESGCM, chunk: int) -> None:
    """1 GB, every chunk encrypted by itself."""
    reader, writer = Zeros(GB), Nowhere()
    while data := reader.read(chunk):
        writer.write(key.encrypt(os.urandom(12), data, b"aad"))


def opened_streams(key: AESGCM) -> None:
    """1 GB opened: from its beginning to its end, and through the seekable reader that files are read with."""
    into = io.BytesIO()
    seal_stream(Zeros(GB), into, **PLACE)
    sealed = into.getvalue()
    del into
    chunk, nonce = 1 << DEFAULT_CHUNK, bytes(12)
    blocks = b"".join(key.encrypt(nonce, bytes(chunk), b"aad") for _ in range(GB // chunk))

    def plain() -> None:
        reader, writer = Again(blocks), Nowhere()
        while block := reader.read(chunk + TAG_BYTES):
            writer.write(key.decrypt(nonce, block, b"aad"))

    def through_reader() -> None:
        with open_sealed(io.BytesIO(sealed), **PLACE) as reader:
            while reader.read(CHUNK):
                pass

    compare("open a stream of 1 GB", GB, 1, lambda: unseal_stream(Again(sealed), Nowhere(), **PLACE), plain)
    compare("read a sealed file of 1 GB", GB, 1, through_reader, plain)


def unwraps() -> None:
    """A data key from its provider, and from memory."""
    row(
        "key from memory",
        **figures(timed(lambda: key_for_sealing(WORLD.tenant.id, "benchmark"), times=5_000)),
    )
    with tempfile.TemporaryDirectory() as folder:
        files = SoftwareKeyProvider(Path(folder) / "keys")
        measure_unwrap("software", lambda: files, cold=lambda: SoftwareKeyProvider(files.folder))
        address = softhsm(Path(folder))
        if address is None:
            row("unwrap softhsm", skipped="SoftHSM is not installed")
            return
        provider = PKCS11Provider(address, files)
        measure_unwrap("softhsm", lambda: provider, cold=lambda: PKCS11Provider(address, files))


def measure_unwrap(name: str, warm: Callable[[], KeyProvider], *, cold: Callable[[], KeyProvider]) -> None:
    """One row each."""
    warm().create_wrapping_key("bench")
    wrapped = warm().wrap("bench", bytes(32), b"aad")
    row(f"unwrap {name} warm", **figures(timed(lambda: warm().unwrap("bench", wrapped, b"aad"), times=2_000)))
    taken = timed(lambda: cold().unwrap("bench", wrapped, b"aad"), times=100, warm_up=2)
    row(f"unwrap {name} cold", **figures(taken))


def softhsm(folder: Path) -> TokenAddress | None:
    """A fresh SoftHSM token, if SoftHSM is installed."""
    module = next((Path(place) for place in SOFTHSM_PLACES if Path(place).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        return None
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(config)
    pin = secrets.token_hex(8)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", pin, "--so-pin", pin],
        check=True,
        capture_output=True,
    )
    (folder / "pin").write_text(pin)
    return TokenAddress(module=module, pin_file=folder / "pin", token="bench")


if __name__ == "__main__":
    main()
