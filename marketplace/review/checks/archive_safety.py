"""Is the archive what it seems: one reading, plain files, bounded sizes, names that mean the same everywhere."""

from __future__ import annotations

from marketplace.catalog.findings import gettext_noop
from marketplace.catalog.package import ArchiveError
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge


def run(context: CheckContext) -> CheckOutcome:
    """Read the whole archive; its refusal is this check's own result."""
    passed = gettext_noop("The archive is safe to open.")
    try:
        report = context.report
    except ArchiveError as error:
        return judge(error.findings, passed=passed)
    return judge(
        (), passed=passed, files=len(report.entries), bytes=report.total_bytes, packed_bytes=report.size_bytes
    )


CHECK = Check(
    name="archive-safety",
    version="1",
    title=gettext_noop("Archive safety"),
    summary=gettext_noop(
        "No paths out of the folder, links, bombs, archives in archives or look-alike names."
    ),
    run=run,
)
