"""Bytes that are counted and hashed on their way to where they are sealed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from typing import Any


class CountedReader(io.RawIOBase):
    """Chunks as a file to read once, with the digest and the size of what went through.

    `check(size_bytes)` is called with every chunk and may raise: nothing is kept then.
    """

    def __init__(self, chunks: Iterable[bytes], *, check: Callable[[int], None] | None = None) -> None:
        self._chunks = iter(chunks)
        self._check = check
        self._rest: memoryview = memoryview(b"")
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Of all that was read, in hexadecimal."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            if self._check is not None:
                self._check(self.size_bytes)
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def digest_of(chunks: Iterable[bytes]) -> tuple[str, int]:
    """The SHA-256 in hexadecimal and the size of all chunks together."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def pieces(reader: Any, size: int = 1 << 20) -> Iterable[bytes]:
    """The content piece by piece; closes the reader at its end."""
    with reader:
        while piece := reader.read(size):
            yield piece
