"""Where sealed files lie: a folder of this machine. Buckets stand in `governance.keys.bucket`, with the same methods.

Only `governance.keys.storage` uses these, so what they hold is sealed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from django.core.files import File
from django.core.files.storage import FileSystemStorage

DRAFT = ".draft-"


class Place(Protocol):
    """A Django storage with three more methods."""

    def save_new(self, name: str, content: File[bytes]) -> str:
        """Store under a name that is free; returns it. Raises FileExistsError when it was taken meanwhile."""

    def open_raw(self, name: str) -> IO[bytes]:
        """A seekable reader that fetches what is asked for. Raises FileNotFoundError."""

    def replace(self, name: str, pieces: Iterable[bytes]) -> None:
        """Put other bytes in the place of a file in one step: a reader sees the old ones or the new ones."""

    def names(self, prefix: str, *, after: str, limit: int) -> Sequence[str]:
        """The next names below the folder `prefix`, in an order that stays the same."""

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

    def replace(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write beside the file, then rename over it."""
        write_over(Path(self.path(name)), pieces)

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


def write_over(path: Path, pieces: Iterable[bytes]) -> None:
    """Write beside the file, then rename over it: a reader sees the old bytes or the new ones."""
    os.replace(_draft(path, pieces), path)


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
