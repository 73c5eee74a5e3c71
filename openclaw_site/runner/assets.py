"""What is built from the tree before the site starts: compiled translations, and whether static files changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from openclaw_site.config import CHECKOUT, Config

STAMP = "static.stamp"


def compile_messages(root: Path = CHECKOUT) -> int:
    """Compile every `locale/*/LC_MESSAGES/*.po` under `root` that is newer than its `.mo`; returns how many."""
    compiled = 0
    for source in sorted(root.glob("locale/*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        with source.open("rb") as stream:
            catalogue = read_po(stream)
        draft = target.with_suffix(".mo.new")
        with draft.open("wb") as stream:
            write_mo(stream, catalogue)
        draft.replace(target)
        compiled += 1
    return compiled


def static_files_are_current(config: Config) -> bool:
    """Whether the collected static files match the tree and the installed packages: collecting takes seconds."""
    stamp = config.var / "run" / STAMP
    collected = (config.var / "static" / "staticfiles.json").exists()
    return collected and stamp.exists() and stamp.read_text(encoding="utf-8") == _fingerprint()


def remember_static_files(config: Config) -> None:
    """Note that the static files have just been collected."""
    (config.var / "run" / STAMP).write_text(_fingerprint(), encoding="utf-8")


def _fingerprint() -> str:
    digest = hashlib.sha256()
    lock = CHECKOUT / "requirements.lock"
    digest.update(lock.read_bytes() if lock.exists() else b"")
    for area in ("openclaw_site", "governance", "inference", "skills", "marketplace"):
        for path in sorted((CHECKOUT / area).rglob("static/**/*")):
            if path.is_file():
                state = path.stat()
                digest.update(f"{path.relative_to(CHECKOUT)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
