"""`openclaw audit verify`: recompute every hash chain of the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance.audit.services import verify


class Command(BaseCommand):
    """Exit status 1 and the exact place when an entry was changed, removed, inserted or reordered."""

    help = "Recompute every hash chain of the audit log and say where one does not hold."

    def handle(self, *args: Any, **options: Any) -> None:
        broken = 0
        for report in verify():
            state = "holds" if not report.problems else "IS BROKEN"
            self.stdout.write(f"{report.tenant.slug}: {report.entries} entries, the chain {state}")
            for problem in report.problems:
                self.stdout.write(f"  {problem}")
            broken += bool(report.problems)
        if broken:
            raise CommandError(
                f"{broken} of the chains do not hold: somebody with the database's own password changed the log. "
                "Compare with a backup, and with copies that were exported before."
            )
