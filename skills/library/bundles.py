"""Bundles of skills on disk, under their own digest: written once, whole or not at all, and only read afterwards."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from governance.errors import InvalidInput, NotFound

DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_FILES = 5_000
MAX_BYTES = 512 * 1024 * 1024


def bundle_path(sha256: str) -> Path:
    """Where the bundle with this digest lies. Raises ValueError on anything that is no digest."""
    if not DIGEST.fullmatch(sha256):
        raise ValueError("not a SHA-256 digest")
    return Path(settings.OPENCLAW_VAR) / "artifacts" / "skills" / sha256


def bundle_digest(folder: Path) -> str:
    """SHA-256 over the sorted relative names and the digests of the contents; times and modes do not count."""
    total = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder).as_posix().encode()
        content = hashlib.sha256(path.read_bytes()).digest()
        total.update(len(name).to_bytes(4, "big") + name + content)
    return total.hexdigest()


def store_bundle(folder: Path) -> str:
    """Copy an unpacked plugin into the store and return its digest; the same content again changes nothing.

    What lies there but is not what its name says (a damaged disk) is replaced. Raises NotFound or InvalidInput.
    """
    if not folder.is_dir():
        raise NotFound(_("The unpacked plugin is not there."))
    root = bundle_path("0" * 64).parent
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=root))
    try:
        for path in _files(folder):
            target = incoming / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            shutil.copyfile(path, target)
            target.chmod(0o444)
        incoming.chmod(0o755)
        digest = bundle_digest(incoming)
        final = bundle_path(digest)
        if final.is_dir() and bundle_digest(final) == digest:
            return digest
        if final.exists():
            os.replace(final, incoming.with_name(f"{incoming.name}-damaged"))
        try:
            os.replace(incoming, final)
        except OSError:
            # Somebody else has just stored the same bundle.
            if not final.is_dir() or bundle_digest(final) != digest:
                raise
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
        shutil.rmtree(incoming.with_name(f"{incoming.name}-damaged"), ignore_errors=True)
    return digest


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidInput(_("A bundle holds plain files and folders only."))
        if path.is_file():
            found.append(path)
            size += path.stat().st_size
        if len(found) > MAX_FILES or size > MAX_BYTES:
            raise InvalidInput(_("The bundle is too large."))
    if not found:
        raise InvalidInput(_("The bundle is empty."))
    return found
