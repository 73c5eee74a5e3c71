"""What a reviewer looks at: the package's files, and what has changed since the last approved version."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

from governance.access.decisions import require
from governance.principals import Principal
from marketplace.catalog.manifest import Manifest
from marketplace.catalog.selectors import last_approved
from marketplace.catalog.ziparchive import Openable
from marketplace.review.archives import (
    ArchiveFile,
    FileContent,
    digests,
    list_files,
    peek_manifest,
    read_text,
)
from marketplace.review.models import Submission

MAX_DIFF_LINES = 2000
CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file: `kind` is added, removed or changed; `diff` is unified, empty for binary files."""

    path: str
    kind: str
    is_text: bool
    diff: list[str]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """Everything that differs from `base` (empty: there is no approved version yet, so everything is new)."""

    base: str
    files: list[FileChange] = field(default_factory=list)
    unchanged: int = 0
    permissions_added: list[str] = field(default_factory=list)
    permissions_removed: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    skills: list[str] = field(default_factory=list)
    purpose: tuple[str, str] | None = None
    data_labels_added: list[str] = field(default_factory=list)


def files_of(*, principal: Principal, submission: Submission) -> list[ArchiveFile]:
    """The files of the package."""
    require(principal, "review.submission.inspect", submission)
    return list_files(submission.archive)


def content_of(*, principal: Principal, submission: Submission, path: str) -> FileContent:
    """One file as text, 256 KiB at most. Raises NotFound."""
    require(principal, "review.submission.inspect", submission)
    return read_text(submission.archive, path)


def diff_of(*, principal: Principal, submission: Submission) -> VersionDiff:
    """What is new against the last approved version of the same plugin."""
    require(principal, "review.submission.inspect", submission)
    before = last_approved(submission.plugin_name, tenant_id=submission.tenant_id, other_than=submission.id)
    old = before.archive if before else None
    if old is not None and not old.exists():
        old = None
    return compare(old, submission.archive, base=before.version if before and old else "")


def compare(old: Openable | None, new: Openable, *, base: str = "") -> VersionDiff:
    """Compare two archives; without an old one, everything in the new one is added."""
    was, now = (digests(old) if old else {}), digests(new)
    changes = [
        _change(path, old if path in was else None, new if path in now else None)
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path)
    ]
    first, second = (peek_manifest(old) if old else None), peek_manifest(new)
    asked, asks = _grants(first), _grants(second)
    purposes = (first.purpose if first else "", second.purpose if second else "")
    return VersionDiff(
        base=base,
        files=changes,
        unchanged=sum(was.get(path) == digest for path, digest in now.items()),
        permissions_added=sorted(asks - asked),
        permissions_removed=sorted(asked - asks),
        models=_named_changes(_models(first), _models(second)),
        skills=_named_changes(_skills(first), _skills(second)),
        purpose=purposes if purposes[0] != purposes[1] else None,
        data_labels_added=sorted(_labels(second) - _labels(first)),
    )


def _change(path: str, old: Openable | None, new: Openable | None) -> FileChange:
    kind = "changed" if old and new else "added" if new else "removed"
    before = read_text(old, path) if old else None
    after = read_text(new, path) if new else None
    sides = [side for side in (before, after) if side is not None]
    if not all(side.is_text for side in sides):
        return FileChange(path, kind, is_text=False, diff=[])
    lines = list(
        difflib.unified_diff(
            before.text.splitlines() if before else [],
            after.text.splitlines() if after else [],
            fromfile=f"a/{path}" if before else "/dev/null",
            tofile=f"b/{path}" if after else "/dev/null",
            lineterm="",
            n=CONTEXT_LINES,
        )
    )
    cut = len(lines) > MAX_DIFF_LINES or any(side.truncated for side in sides)
    return FileChange(path, kind, is_text=True, diff=lines[:MAX_DIFF_LINES], truncated=cut)


def _grants(manifest: Manifest | None) -> set[str]:
    return set(manifest.permissions.grants()) if manifest else set()


def _labels(manifest: Manifest | None) -> set[str]:
    return set(manifest.data_labels) if manifest else set()


def _models(manifest: Manifest | None) -> dict[str, Any]:
    return {m.name: m for m in manifest.models} if manifest else {}


def _skills(manifest: Manifest | None) -> dict[str, Any]:
    return {s.name: s for s in manifest.skills} if manifest else {}


def _named_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`+name` added, `-name` removed, `~name` declared differently."""
    changes = [f"+{name}" for name in sorted(new.keys() - old.keys())]
    changes += [f"-{name}" for name in sorted(old.keys() - new.keys())]
    changes += [f"~{name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    return changes
