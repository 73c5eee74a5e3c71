"""Where unix sockets go: the kernel allows 107 bytes for their path, however deep the checkout lies."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from openclaw_site import config
from openclaw_site.runner.errors import RunnerError

LONGEST_PATH_BYTES = 107
LONGEST_NAME = "/.s.PGSQL.5432.lock"


def socket_folder(preferred: Path) -> Path:
    """A folder of mode 0700 for sockets: `preferred`, or a short one when its path is too long.

    The short one lies in the account's runtime folder or the system's temporary folder, named after `preferred`
    so that two checkouts never meet. Raises RunnerError when it belongs to somebody else.
    """
    folder = preferred
    if len(os.fsencode(f"{preferred}{LONGEST_NAME}")) > LONGEST_PATH_BYTES:
        name = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:12]
        base = config.runtime_folder() or Path(tempfile.gettempdir())
        folder = base / f"openclaw-{os.geteuid()}-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise RunnerError(
            f"{folder} is needed for the services' sockets but belongs to another account.",
            "Remove it, or set XDG_RUNTIME_DIR to a folder of your own with a short path.",
        )
    folder.chmod(0o700)
    return folder
