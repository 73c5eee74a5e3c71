"""Sealed files as tests find them on the disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django.core.files.storage import storages

from governance.keys.storage import SealedPath

DAYS_S = 2 * 24 * 3600


def on_disk(file: SealedPath) -> Path:
    """The sealed bytes of a file in the folder of the site."""
    return Path(storages["objects"].path(file.name))  # type: ignore[attr-defined]


def written_days_ago(*files: SealedPath | Path) -> None:
    """Make files look as if nobody had touched them for two days."""
    then = time.time() - DAYS_S
    for file in files:
        os.utime(on_disk(file) if isinstance(file, SealedPath) else file, (then, then))
