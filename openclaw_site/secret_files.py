"""Random secrets kept as files that only the site's own account may read."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600


@dataclass(frozen=True)
class SecretFiles:
    """A folder of secrets, one file each: the folder has mode 0700, every file 0600."""

    folder: Path

    def path(self, name: str) -> Path:
        """Where the secret `name` lies, whether it exists or not."""
        return self.folder / name

    def get_or_create(self, name: str, *, size_bytes: int = 32) -> str:
        """The secret `name`, made from `size_bytes` random bytes (URL-safe text) when it does not exist yet.

        Safe when several processes ask at once: the first file that is complete wins.
        """
        path = self.path(name)
        if not path.exists():
            self._write_once(path, secrets.token_urlsafe(size_bytes))
        return path.read_text(encoding="utf-8").strip()

    def write(self, name: str, text: str) -> Path:
        """Replace the secret `name` in one step; a reader sees the old text or the new one."""
        path = self.path(name)
        os.replace(self._draft(path, text), path)
        return path

    def _write_once(self, path: Path, text: str) -> None:
        draft = self._draft(path, text)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()

    def _draft(self, path: Path, text: str) -> Path:
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.folder.chmod(FOLDER_MODE)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
        return draft
