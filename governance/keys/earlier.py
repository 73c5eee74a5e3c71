"""Files that an earlier release kept elsewhere: read where they lie, moved into the sealed storage by re-encryption.

register(EarlierFiles("registry.earlier-artifacts", storage, folder_of, name_of, plain))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.utils.translation import gettext as _

from governance.errors import Conflict
from governance.keys.counting import digest_of, pieces
from governance.keys.storage import SealedStorage


@dataclass(frozen=True)
class EarlierFiles:
    """Files below `folder(tenant)`, which belong into `storage` as `rename(relative path)`.

    `opened(path, tenant, relative path)` gives their content: of files that were never sealed, `plain`.
    """

    name: str
    storage: SealedStorage
    folder: Callable[[UUID], Path]
    rename: Callable[[str], str]
    opened: Callable[[Path, UUID, str], BinaryIO]

    @property
    def purpose(self) -> str:
        return self.storage.purpose

    def count(self, tenant_id: UUID) -> int:
        """How many are left."""
        return sum(1 for _ in self._walk(tenant_id))

    def keys(self, tenant_id: UUID, *, after: str, limit: int) -> Sequence[str]:
        """The next relative paths."""
        return sorted(name for name in self._walk(tenant_id) if name > after)[:limit]

    def rewrite(self, tenant_id: UUID, key: str) -> bool:
        """Seal one into the storage, then remove it. One that is in the storage already is only removed."""
        path = self.folder(tenant_id) / key
        target = self.storage.file(tenant_id, self.rename(key))
        try:
            with self.opened(path, tenant_id, key) as reader:
                if not target.exists():
                    target.write(pieces(reader), over=True)
        except FileNotFoundError:
            return False
        path.unlink(missing_ok=True)
        return True

    def _walk(self, tenant_id: UUID) -> Iterator[str]:
        root = self.folder(tenant_id)
        for folder, _folders, names in os.walk(root):
            for name in names:
                if not name.startswith("."):
                    yield str((Path(folder) / name).relative_to(root))


def plain(path: Path, tenant_id: UUID, relative: str) -> BinaryIO:
    """The content of a file that was never sealed."""
    return path.open("rb")


def checked(path: Path, sha256: str) -> BinaryIO:
    """The content of a file that was never sealed, if it is what it was when its digest was taken.

    Raises FileNotFoundError, or Conflict when it was changed.
    """
    file = path.open("rb")
    try:
        found, _size = digest_of(iter(lambda: file.read(1 << 20), b""))
        if found != sha256:
            raise Conflict(
                _("A file of an earlier release was changed on disk."), hint=_("Restore it from a backup.")
            )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
