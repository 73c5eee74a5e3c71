"""`openclaw audit verify`: recompute hash chains of the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.audit.findings import ChainReport
from governance.audit.heads import read_heads
from governance.audit.verification import verify
from governance.errors import InvalidInput


class Command(BaseCommand):
    """Exit status 1, the exact place and the kind of damage when an entry is not as it was written."""

    help = "Recompute the hash chains of the audit log and say where one does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="short name of one tenant")
        parser.add_argument("--against", default="", help="file of signed heads that was kept elsewhere")

    def handle(self, *args: Any, **options: Any) -> None:
        kept = {}
        if options["against"]:
            try:
                kept = read_heads(Path(options["against"]).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, InvalidInput) as error:
                raise CommandError(str(error)) from error
        seen = broken = 0
        for report in verify(tenant=options["tenant"], kept=kept):
            self._tell(report)
            seen += 1
            broken += not report.ok
            kept.pop(report.tenant_id, None)
        if not seen:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        if kept and not options["tenant"]:
            raise CommandError(f"The kept heads name tenants that are gone: {', '.join(map(str, kept))}")
        if broken:
            raise CommandError(
                f"{broken} of the chains do not hold: somebody with the database's own password changed the log. "
                "Compare with a backup, and with copies that were exported before."
            )

    def _tell(self, report: ChainReport) -> None:
        state = "holds" if report.ok else "IS BROKEN"
        last = report.cut_through + report.entries
        signed = f", signed up to entry {report.signed_through} of {last}" if last else ""
        self.stdout.write(f"{report.slug}: {report.entries} entries, the chain {state}{signed}")
        if report.cut_through:
            self.stdout.write(f"  entries 1 to {report.cut_through} were removed by retention")
        for number in report.clock_set_back:
            self.stdout.write(f"  note: the machine's clock was set back before entry {number}")
        for problem in report.problems:
            self.stdout.write(f"  {problem.kind.value}, entry {problem.entry}: {problem}")
        if report.more_problems:
            self.stdout.write(f"  and {report.more_problems} more")
