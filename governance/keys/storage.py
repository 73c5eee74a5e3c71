"""A Django storage whose files are sealed before they leave the process, on disk and in a bucket alike.

    storage = SealedStorage(purpose="artifact", folder="artifacts")
    file = storage.file(tenant.id, "ab/abcdef")
    written = file.write(chunks)
    with file.open() as reader: ...

The first part of a name is the tenant's id; its key seals the file, and the whole name is what the bytes are bound to:
renamed or copied elsewhere they do not open. Files are read and written in pieces, and any range can be read. There is
no address or path to give out: what lies there is of no use to anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast
from uuid import UUID

from django.core.files import File
from django.core.files.storage import Storage, storages
from django.utils.deconstruct import deconstructible

from governance.keys.counting import CountedReader
from governance.keys.keyring import key_for_sealing
from governance.keys.places import Place, Replaced
from governance.keys.sealing import SealedFile
from governance.keys.streams import HEADER_BYTES, Binding, Header, open_sealed, read_fully, sealed_chunks

MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class Written:
    """What was sealed: SHA-256 in hexadecimal and size of the content."""

    sha256: str
    size_bytes: int


@deconstructible(path="governance.keys.storage.SealedStorage")
class SealedStorage(Storage):
    """Sealed files of one purpose in the storage called `place` in the settings.

    `folder` is where they lie below each tenant's; those of another purpose lie in another one.
    """

    def __init__(self, *, purpose: str, folder: str = "", place: str = "objects") -> None:
        self.purpose = purpose
        self.folder = folder
        self._place_name = place

    @property
    def place(self) -> Place:
        return cast(Place, storages[self._place_name])

    def root(self, tenant_id: UUID) -> str:
        """The folder of a tenant's files."""
        return f"{tenant_id}/{self.folder}" if self.folder else str(tenant_id)

    def file(self, tenant_id: UUID, name: str) -> SealedPath:
        """A tenant's file, there or not yet; `name` is within the tenant's folder of this storage."""
        return SealedPath(self, f"{self.root(tenant_id)}/{name}")

    def write(self, name: str, chunks: Iterable[bytes], *, over: bool = False) -> Written:
        """Seal chunks as they come; the file is there whole or not at all. What `chunks` raises, ends it.

        Raises FileExistsError for a name that is taken, unless `over` says to take its place in one step.
        """
        reader = CountedReader(chunks)
        sealed = sealed_chunks(cast(IO[bytes], reader), self._binding(name))
        if over:
            self.place.put(name, sealed)
        else:
            self.place.save_new(name, SealedFile(sealed, name))
        return Written(reader.sha256, reader.size_bytes)

    def opened(self, name: str) -> BinaryIO:
        """A seekable reader. Raises FileNotFoundError, a subclass of Unsealable, KeyDestroyed or Unavailable."""
        return cast(BinaryIO, self._opened(name, self.place.open_raw(name)))

    def exists(self, name: str) -> bool:
        return self.place.exists(name)

    def delete(self, name: str) -> None:
        self.place.delete(name)

    def delete_below(self, tenant_id: UUID, folder: str) -> None:
        """Delete every file of a tenant below a folder of this storage."""
        self.place.delete_below(f"{self.root(tenant_id)}/{folder}")

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        return self.place.listdir(path)

    def size(self, name: str) -> int:
        """The size of the content, in bytes. Raises Truncated, NotSealed or FileNotFoundError."""
        with self.place.open_raw(name) as raw:
            header = Header.decoded(read_fully(raw, HEADER_BYTES))
        return header.plain_size(self.place.size(name))

    def rewrite(self, name: str) -> bool:
        """Seal a file with the active key unless it is already; whether it was written anew.

        One that is gone or was put again meanwhile is no error.
        """
        binding = self._binding(name)
        try:
            with self.place.open_raw(name) as raw:
                header = Header.decoded(read_fully(raw, HEADER_BYTES))
                if header.key_id == key_for_sealing(binding.tenant_id, binding.purpose).id:
                    return False
                with self._opened(name, raw) as content:
                    pieces = sealed_chunks(content, binding, chunk_power=header.chunk_power)
                    self.place.replace(name, pieces, was=raw)
        except (FileNotFoundError, Replaced):
            return False
        return True

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        if mode != "rb":
            raise ValueError("a sealed file is opened for reading; it is written whole with save()")
        return File(self.opened(name), name)

    def _save(self, name: str, content: File[Any]) -> str:
        for _try in range(MAX_TRIES):
            binding = self._binding(name)
            content.seek(0)
            try:
                return self.place.save_new(name, SealedFile(sealed_chunks(content, binding), name))
            except FileExistsError:  # somebody took the name meanwhile, and another name is another seal
                name = self.get_available_name(name)
        raise FileExistsError(name)

    def _opened(self, name: str, raw: Any) -> Any:
        binding = self._binding(name)
        try:
            return open_sealed(
                raw, tenant_id=binding.tenant_id, purpose=binding.purpose, object_id=binding.object_id
            )
        except BaseException:
            raw.close()
            raise

    def _binding(self, name: str) -> Binding:
        tenant, _slash, rest = name.partition("/")
        try:
            if not rest:
                raise ValueError("there is nothing after the tenant")
            return Binding(UUID(tenant), self.purpose, name)
        except ValueError as error:
            raise ValueError(f"{name!r} does not begin with a tenant's id and a slash") from error


@dataclass(frozen=True, slots=True)
class SealedPath:
    """One file of a sealed storage, with what callers do with a `pathlib.Path`. Equal by storage and name."""

    storage: SealedStorage
    name: str

    def open(self, mode: str = "rb") -> BinaryIO:
        """A seekable reader in bounded memory; the errors are those of `SealedStorage.opened`."""
        if mode != "rb":
            raise ValueError("a sealed file is opened for reading; it is written whole with write()")
        return self.storage.opened(self.name)

    def read_bytes(self) -> bytes:
        """The whole content."""
        with self.open() as reader:
            return reader.read()

    def write(self, chunks: Iterable[bytes], *, over: bool = False) -> Written:
        """`SealedStorage.write`."""
        return self.storage.write(self.name, chunks, over=over)

    def exists(self) -> bool:
        return self.storage.exists(self.name)

    def delete(self) -> None:
        """One that is not there is no error."""
        self.storage.delete(self.name)


@dataclass(frozen=True)
class StorageCollection:
    """All files of a sealed storage below each tenant's folder: register it for re-encryption."""

    name: str
    storage: SealedStorage

    @property
    def purpose(self) -> str:
        return self.storage.purpose

    def count(self, tenant_id: UUID) -> int:
        """How many files there are, counted by listing them."""
        count, after = 0, ""
        while names := self.keys(tenant_id, after=after, limit=1000):
            count, after = count + len(names), names[-1]
        return count

    def keys(self, tenant_id: UUID, *, after: str, limit: int) -> Sequence[str]:
        """The next names."""
        return self.storage.place.names(self.storage.root(tenant_id), after=after, limit=limit)

    def rewrite(self, tenant_id: UUID, key: str) -> bool:
        """Write one file anew."""
        return self.storage.rewrite(key)
