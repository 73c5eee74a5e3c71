"""Where sealed files lie: a folder of this machine. Buckets stand in `governance.keys.bucket`, with the same methods.

Only `governance.keys.storage` uses these, so what they hold is sealed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from django.core.files import File
from django.core.files.storage import FileSystemStorage
from django.utils.translation import gettext as _

from governance.errors import Unavailable

DRAFT = ".draft-"
NAMES_AT_ONCE = 1000


class Replaced(Unavailable):
    """The file that is being read was deleted or put again meanwhile."""

    code = "file-replaced"

    def __init__(self) -> None:
        super().__init__(_("The file was written anew while it was read."), hint=_("Read it again."))


class Place(Protocol):
    """A Django storage with a few more methods."""

    def save_new(self, name: str, content: File[bytes]) -> str:
        """Store under a name that is free; returns it. Raises FileExistsError when it was taken meanwhile."""

    def open_raw(self, name: str) -> IO[bytes]:
        """A seekable reader that fetches what is asked for. Raises FileNotFoundError."""

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Store under a name, taken or not, in one step: a reader sees the old bytes or the new ones."""

    def replace(self, name: str, pieces: Iterable[bytes], *, was: IO[bytes]) -> None:
        """`put`, but only in the place of the very file that `was` (of `open_raw`) reads.

        Raises FileNotFoundError or Replaced when it is another one or none by then: what is deleted stays deleted.
        """

    def names(self, prefix: str, *, after: str, limit: int) -> Sequence[str]:
        """The next names below the folder `prefix`, in an order that stays the same."""

    def delete_below(self, prefix: str) -> None:
        """Delete every file below the folder `prefix`."""

    def drop_drafts(self, prefix: str, *, before: datetime) -> None:
        """Remove what was half written below the folder `prefix` and not touched since `before`: its writer is gone."""

    def get_modified_time(self, name: str) -> datetime:
        """When the file was written. Raises FileNotFoundError."""

    def exists(self, name: str) -> bool: ...
    def delete(self, name: str) -> None: ...
    def size(self, name: str) -> int: ...
    def listdir(self, path: str) -> tuple[list[str], list[str]]: ...


class LocalPlace(FileSystemStorage):
    """A folder for the site's account alone."""

    def save_new(self, name: str, content: File[bytes]) -> str:
        """Store under a name that is free."""
        path = Path(self.path(name))
        draft = _draft(path, content.chunks())
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
        return name

    def open_raw(self, name: str) -> IO[bytes]:
        """The file itself."""
        return Path(self.path(name)).open("rb")

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write beside the file, then rename over it."""
        path = Path(self.path(name))
        os.replace(_draft(path, pieces), path)

    def replace(self, name: str, pieces: Iterable[bytes], *, was: IO[bytes]) -> None:
        """Like `put`. A lock on the old file keeps `delete` from coming between the last look and the renaming."""
        path = Path(self.path(name))
        draft = _draft(path, pieces)
        try:
            with _locked(was.fileno()):
                if not _is_at(was.fileno(), path):
                    raise Replaced
                os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Remove the file; one that is replaced in this moment too."""
        path = Path(self.path(name))
        while True:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return
            try:
                with _locked(descriptor):
                    if _is_at(descriptor, path):
                        path.unlink()
                        return
            finally:
                os.close(descriptor)

    def delete_below(self, prefix: str) -> None:
        """File by file, as `delete` does; then the empty folders."""
        while names := self.names(prefix, after="", limit=NAMES_AT_ONCE):
            for name in names:
                self.delete(name)
        shutil.rmtree(self.path(prefix), ignore_errors=True)

    def drop_drafts(self, prefix: str, *, before: datetime) -> None:
        """By the time of the last byte."""
        for folder, _folders, names in os.walk(self.path(prefix)):
            for name in names:
                draft = Path(folder) / name
                with suppress(FileNotFoundError):
                    if name.startswith(DRAFT) and draft.stat().st_mtime < before.timestamp():
                        draft.unlink()

    def names(self, prefix: str, *, after: str, limit: int) -> Sequence[str]:
        """The next names, folder by folder."""
        found: list[str] = []
        for name in self._walk(prefix, after.removeprefix(f"{prefix}/").split("/") if after else []):
            found.append(name)
            if len(found) == limit:
                break
        return found

    def _walk(self, folder: str, after: list[str]) -> Iterator[str]:
        path = Path(self.path(folder))
        if not path.is_dir():
            return
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.name.startswith(DRAFT) or (after and entry.name < after[0]):
                continue
            same = bool(after) and entry.name == after[0]
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(f"{folder}/{entry.name}", after[1:] if same else [])
            elif not same:
                yield f"{folder}/{entry.name}"


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether what is open is still what lies under that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _draft(path: Path, pieces: Iterable[bytes]) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{DRAFT}{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft
