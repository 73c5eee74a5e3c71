"""Sealed streams: any length in bounded memory, and any part of it without the rest.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015) over AES-256-GCM, with a key for every stream as in Tink's AES-GCM-HKDF streaming:

    offset  bytes
    0       4     magic `OCS` and the format version, 1
    4       16    id of the data key (UUID)
    20      1     size of a chunk as a power of two, 16 (64 kB) to 20 (1 MB)
    21      32    salt: the stream's key is HKDF-SHA256(secret of the data key, salt)
    53      7     prefix of every nonce
    60      …     chunks: ciphertext of one chunk's bytes and its tag (16 bytes); the last may be shorter or empty

A chunk's nonce is the prefix, the chunk's index (4 bytes) and 1 for the last chunk, else 0: chunks cannot be dropped,
moved, repeated or added. The associated data of each are the first 60 bytes, tenant, purpose and object id.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from governance.keys.errors import Altered, Extended, NotSealed, Truncated
from governance.keys.incidents import noticed
from governance.keys.keyring import key_for_reading, key_for_sealing
from governance.keys.memory import OpenKey
from governance.keys.usage import usage

MAGIC = b"OCS\x01"
SALT_BYTES = 32
PREFIX_BYTES = 7
TAG_BYTES = 16
HEADER_BYTES = len(MAGIC) + 16 + 1 + SALT_BYTES + PREFIX_BYTES
SMALLEST_CHUNK, LARGEST_CHUNK = 16, 20  # powers of two: 64 kB, 1 MB
DEFAULT_CHUNK = 18  # 256 kB
MAX_CHUNKS = 2**32


@dataclass(frozen=True, slots=True)
class Binding:
    """What sealed bytes belong to; they open as nothing else."""

    tenant_id: UUID
    purpose: str
    object_id: str

    def aad(self, header: bytes) -> bytes:
        """The associated data: header, tenant, purpose and object id, each with its length before it."""
        if not self.object_id:
            raise ValueError("sealed data needs the id of the object it belongs to")
        parts = (header, self.tenant_id.bytes, self.purpose.encode(), self.object_id.encode())
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(frozen=True, slots=True)
class Header:
    """The first 60 bytes."""

    key_id: UUID
    chunk_power: int
    salt: bytes
    prefix: bytes

    @property
    def chunk_bytes(self) -> int:
        return 1 << self.chunk_power

    @property
    def sealed_chunk_bytes(self) -> int:
        return self.chunk_bytes + TAG_BYTES

    def encoded(self) -> bytes:
        return MAGIC + self.key_id.bytes + bytes([self.chunk_power]) + self.salt + self.prefix

    @classmethod
    def new(cls, key_id: UUID, chunk_power: int) -> Header:
        if not SMALLEST_CHUNK <= chunk_power <= LARGEST_CHUNK:
            raise ValueError("a chunk has from 64 kB to 1 MB")
        return cls(key_id, chunk_power, os.urandom(SALT_BYTES), os.urandom(PREFIX_BYTES))

    @classmethod
    def decoded(cls, data: bytes) -> Header:
        """Raises NotSealed or Truncated."""
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            raise NotSealed
        if len(data) < HEADER_BYTES:
            raise Truncated
        power = data[20]
        if not SMALLEST_CHUNK <= power <= LARGEST_CHUNK:
            raise NotSealed
        return cls(UUID(bytes=data[4:20]), power, data[21:53], data[53:60])

    def plain_size(self, sealed_bytes: int) -> int:
        """How many bytes a stream of this size holds. Raises Truncated for a size that no stream has."""
        body = sealed_bytes - HEADER_BYTES
        whole, rest = divmod(body, self.sealed_chunk_bytes)
        if body < TAG_BYTES or 0 < rest < TAG_BYTES:
            raise Truncated
        return whole * self.chunk_bytes + (rest - TAG_BYTES if rest else 0)


class StreamCipher:
    """Seals and opens the chunks of one stream."""

    def __init__(self, key: OpenKey, header: Header, binding: Binding) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=header.salt, info=b"openclaw stream 1")
        self._cipher = AESGCM(derived.derive(key.stream_secret))
        self._prefix = header.prefix
        self._aad = binding.aad(header.encoded())

    def seal(self, data: bytes, index: int, *, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(index, last), data, self._aad)

    def open(self, sealed: bytes, index: int, *, last: bool) -> bytes:
        """Raises Altered; Truncated or Extended when the chunk is authentic but the end is not where it should be."""
        try:
            return self._cipher.decrypt(self._nonce(index, last), sealed, self._aad)
        except InvalidTag as error:
            if self._is_authentic(sealed, index, last=not last):
                raise (Truncated if last else Extended) from error
            raise Altered from error

    def _is_authentic(self, sealed: bytes, index: int, *, last: bool) -> bool:
        try:
            self._cipher.decrypt(self._nonce(index, last), sealed, self._aad)
        except InvalidTag:
            return False
        return True

    def _nonce(self, index: int, last: bool) -> bytes:
        if index >= MAX_CHUNKS:
            raise ValueError("a sealed stream has at most 2**32 chunks")
        return self._prefix + index.to_bytes(4, "big") + bytes([last])


def sealed_chunks(
    reader: IO[bytes], binding: Binding, *, chunk_power: int = DEFAULT_CHUNK
) -> Iterator[bytes]:
    """The pieces of the sealed stream of all that `reader` gives: header, then chunk by chunk.

    The key is looked up when the first piece is asked for.
    """
    key = key_for_sealing(binding.tenant_id, binding.purpose)
    header = Header.new(key.id, chunk_power)
    cipher = StreamCipher(key, header, binding)
    yield header.encoded()
    index, size, chunk = 0, 0, read_fully(reader, header.chunk_bytes)
    while True:
        following = read_fully(reader, header.chunk_bytes) if len(chunk) == header.chunk_bytes else b""
        yield cipher.seal(chunk, index, last=not following)
        size += len(chunk)
        if not following:
            usage.note(key, size)
            return
        index, chunk = index + 1, following


def seal_stream(
    reader: IO[bytes],
    writer: IO[bytes],
    *,
    tenant_id: UUID,
    purpose: str,
    object_id: str,
    chunk_power: int = DEFAULT_CHUNK,
) -> int:
    """Seal all that `reader` gives into `writer`, in memory of about two chunks. Returns the bytes written."""
    written = 0
    for piece in sealed_chunks(reader, Binding(tenant_id, purpose, object_id), chunk_power=chunk_power):
        writer.write(piece)
        written += len(piece)
    return written


def unseal_stream(
    reader: IO[bytes], writer: IO[bytes], *, tenant_id: UUID, purpose: str, object_id: str
) -> int:
    """Open a sealed stream into `writer`. Returns the bytes written.

    Every chunk is verified before it is written, but only the return says that the end was authentic: whoever acts on
    the content earlier must be able to take that back. Raises a subclass of Unsealable, KeyDestroyed, KeysUnavailable.
    """
    with noticed(tenant_id, purpose, object_id):
        return _unseal(reader, writer, Binding(tenant_id, purpose, object_id))


def _unseal(reader: IO[bytes], writer: IO[bytes], binding: Binding) -> int:
    header = Header.decoded(read_fully(reader, HEADER_BYTES))
    cipher = StreamCipher(key_for_reading(header.key_id, binding.tenant_id, binding.purpose), header, binding)
    written, index = 0, 0
    chunk = read_fully(reader, header.sealed_chunk_bytes)
    while True:
        whole = len(chunk) == header.sealed_chunk_bytes
        following = read_fully(reader, header.sealed_chunk_bytes) if whole else b""
        if len(chunk) < TAG_BYTES:
            raise Truncated
        plain = cipher.open(chunk, index, last=not following)
        writer.write(plain)
        written += len(plain)
        if not following:
            return written
        index, chunk = index + 1, following


class SealedReader(io.RawIOBase):
    """A seekable reader of a sealed stream: opens only the chunks that are asked for, and keeps one.

    The end is verified when it is opened, so a truncated or extended stream is refused before anything is read.
    """

    def __init__(self, source: IO[bytes], binding: Binding) -> None:
        self._source = source
        self._binding = binding
        self._position = 0
        self._index, self._chunk = -1, b""
        with noticed(binding.tenant_id, binding.purpose, binding.object_id):
            self._begin(source, binding)

    def _begin(self, source: IO[bytes], binding: Binding) -> None:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        self._header = Header.decoded(read_fully(source, HEADER_BYTES))
        self._size = self._header.plain_size(size)
        key = key_for_reading(self._header.key_id, binding.tenant_id, binding.purpose)
        self._cipher = StreamCipher(key, self._header, binding)
        self._last = max(0, self._size - 1) >> self._header.chunk_power
        if size > HEADER_BYTES + (self._last + 1) * self._header.sealed_chunk_bytes:
            raise Altered  # an empty last chunk belongs to an empty stream only
        self._load(self._last)

    @property
    def size(self) -> int:
        """How many bytes there are to read."""
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self._size or not len(buffer):
            return 0
        index, start = divmod(self._position, self._header.chunk_bytes)
        with noticed(self._binding.tenant_id, self._binding.purpose, self._binding.object_id):
            self._load(index)
        part = self._chunk[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def readall(self) -> bytes:
        parts = []
        with noticed(self._binding.tenant_id, self._binding.purpose, self._binding.object_id):
            while self._position < self._size:
                index, start = divmod(self._position, self._header.chunk_bytes)
                self._load(index)
                parts.append(self._chunk[start:] if start else self._chunk)
                self._position += len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            self._chunk = b""
        super().close()

    def _load(self, index: int) -> None:
        if index == self._index:
            return
        self._source.seek(HEADER_BYTES + index * self._header.sealed_chunk_bytes)
        sealed = read_fully(self._source, self._header.sealed_chunk_bytes)
        if len(sealed) < TAG_BYTES:
            raise Truncated
        self._chunk = self._cipher.open(sealed, index, last=index == self._last)
        self._index = index


def open_sealed(source: Path | str | IO[bytes], *, tenant_id: UUID, purpose: str, object_id: str) -> BinaryIO:
    """A seekable file over a sealed stream, for reading whole or in ranges. Closing it closes `source` too."""
    file = Path(source).open("rb") if isinstance(source, (str, Path)) else source  # noqa: SIM115  closed by its reader
    try:
        raw = SealedReader(file, Binding(tenant_id, purpose, object_id))
    except BaseException:
        if file is not source:
            file.close()
        raise
    return io.BufferedReader(raw)


def read_fully(reader: IO[bytes], size: int) -> bytes:
    """`size` bytes, or fewer at the end: a reader may give less than it is asked for at any time."""
    first = reader.read(size) or b""
    if not first or len(first) >= size:
        return first
    parts, missing = [first], size - len(first)
    while missing and (part := reader.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
