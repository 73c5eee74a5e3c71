"""The contract between a check and the review that runs it.

A check looks at one package and returns an outcome. It knows nothing of the database, of Celery or of people:
`marketplace.review` decides when it runs, keeps what it said, and shows it. `run_check` is the only way to run
one, because it turns every exception into ERROR: a check that could not finish never counts as passed.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from marketplace.catalog.findings import Finding, PackageProblem, Severity, gettext_noop
from marketplace.catalog.manifest import Manifest, ManifestError, read_manifest
from marketplace.catalog.package import ArchiveError, ArchiveReport, Limits, extract, inspect_archive
from marketplace.catalog.ziparchive import Openable

logger = logging.getLogger(__name__)

MAX_FINDINGS = 100
_PREFIX = "openclaw-check-"
_STALE_S = 6 * 3600

__all__ = [
    "Check",
    "CheckContext",
    "CheckOutcome",
    "CheckStatus",
    "Finding",
    "Severity",
    "judge",
    "read_start",
    "run_check",
]


class CheckStatus(StrEnum):
    """What a check concluded.

    PASSED: nothing to object. FLAGGED: a person has to look. REJECTED: this version cannot be accepted.
    ERROR: the check itself could not finish; it says nothing about the package and can be run again.
    """

    PASSED = "PASSED"
    FLAGGED = "FLAGGED"
    REJECTED = "REJECTED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The result of one check: a status, its findings, one sentence for the publisher, and figures it measured."""

    status: CheckStatus
    findings: tuple[Finding, ...] = ()
    message: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)

    def text(self, translate: Callable[[str], str] = str) -> str:
        """Return the sentence for the publisher in the language that `translate` gives."""
        template = translate(self.message)
        return template % self.params if self.params else template


class CheckContext(AbstractContextManager["CheckContext"]):
    """What a check may look at: one archive, its files and its manifest. Use as a context manager.

    `folder` is the package already extracted by `marketplace.catalog.package.extract`; without it the archive is
    extracted into a temporary folder on first use, which goes away with the context. The properties raise
    `ArchiveError` or `ManifestError` when the package cannot be read.
    """

    def __init__(
        self, *, archive: Openable, folder: Path | None = None, limits: Limits | None = None
    ) -> None:
        self.archive = archive
        self.limits = limits or Limits()
        self._given = folder
        self._temporary: Path | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    @cached_property
    def report(self) -> ArchiveReport:
        """The archive's listing, read once."""
        return inspect_archive(self.archive, limits=self.limits)

    @cached_property
    def root(self) -> Path:
        """The folder with the package's files."""
        if self._given is not None:
            return self._given
        _sweep()
        self._temporary = Path(tempfile.mkdtemp(prefix=_PREFIX))
        folder = self._temporary / "package"
        extract(self.archive, folder, limits=self.limits)
        return folder

    @cached_property
    def manifest(self) -> Manifest:
        """The parsed `plugin.json`, checked against the package's files."""
        return read_manifest(self.root)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield (path inside the package, file) in a fixed order."""
        root = self.root
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path


def _sweep() -> None:
    """Remove what a worker left that was killed in the middle of a check."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_S and folder.stat().st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check and its three switches, which an administrator may change.

    `enabled`: it runs. `enforced`: REJECTED ends the review, FLAGGED needs a person; not enforced, the outcome is
    only recorded. `required`: no decision before it has an outcome other than ERROR.
    """

    name: str
    version: str
    title: str
    summary: str
    run: Callable[[CheckContext], CheckOutcome]
    enabled: bool = True
    enforced: bool = True
    required: bool = True


def read_start(path: Path, limit_bytes: int) -> bytes:
    """Return at most `limit_bytes` + 1 bytes of the file, so that the caller can tell one that is too large."""
    with path.open("rb") as file:
        return file.read(limit_bytes + 1)


def judge(
    findings: Iterable[Finding], *, passed: str, flagged: str = "", rejected: str = "", **measures: Any
) -> CheckOutcome:
    """Make the outcome that the worst finding asks for, with the sentence of that status."""
    found = tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))
    if len(found) > MAX_FINDINGS:
        measures["findings_left_out"] = len(found) - MAX_FINDINGS
        found = found[:MAX_FINDINGS]
    worst = found[0].severity if found else Severity.INFO
    if worst is Severity.CRITICAL:
        return CheckOutcome(CheckStatus.REJECTED, found, rejected or _REJECTED, measures=measures)
    if worst is Severity.WARN:
        return CheckOutcome(CheckStatus.FLAGGED, found, flagged or _FLAGGED, measures=measures)
    return CheckOutcome(CheckStatus.PASSED, found, passed, measures=measures)


_ORDER = {Severity.CRITICAL: 0, Severity.WARN: 1, Severity.INFO: 2}
_REJECTED = gettext_noop(
    "This version cannot be accepted. Correct what the findings name and upload a new version."
)
_FLAGGED = gettext_noop("A reviewer will look at the findings.")
_ERROR = gettext_noop("This check could not finish. It says nothing about your plugin and will be run again.")
_UNREADABLE = gettext_noop("Not run, because the archive was refused. Archive safety says why.")
_UNDECLARED = gettext_noop("Not run, because plugin.json was refused. Manifest says why.")


def run_check(check: Check, context: CheckContext) -> CheckOutcome:
    """Run `check`; never raises.

    A package that cannot be read is REJECTED by every check that needs it (the check about that part says why).
    Any other exception is ERROR, with its type in `measures` for the operator and nothing of it for the publisher.
    """
    try:
        return check.run(context)
    except ArchiveError:
        return CheckOutcome(CheckStatus.REJECTED, (), _UNREADABLE)
    except ManifestError:
        return CheckOutcome(CheckStatus.REJECTED, (), _UNDECLARED)
    except PackageProblem as problem:
        return CheckOutcome(CheckStatus.REJECTED, problem.findings, _REJECTED)
    except Exception as error:
        logger.exception("check %s failed", check.name)
        return CheckOutcome(CheckStatus.ERROR, (), _ERROR, measures={"exception": type(error).__name__})
