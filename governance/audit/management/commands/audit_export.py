"""`openclaw audit export`: the log as CSV or JSON lines, in bounded memory."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.audit.export import pieces
from governance.audit.models import AuditEntry
from governance.audit.selectors import Search
from governance.audit.services import record
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

FILTERS = {
    "actor": "who: an id, or a part of the name",
    "action": "the beginning of an action, such as registry.",
    "target_type": "the kind of object",
    "target_id": "the object's id",
    "decision": "allow or deny",
    "request_id": "the id of one request",
    "text": "words in the reason",
}


def day_or_time(text: str) -> datetime:
    """A day (its beginning in UTC) or a time in ISO 8601."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"“{text}” is no day and no time, such as 2026-11-24.") from error
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def add_filters(parser: CommandParser) -> None:
    """What the log's page narrows by, under the same names."""
    for name, text in FILTERS.items():
        choices = AuditEntry.Decision.values if name == "decision" else None
        parser.add_argument(f"--{name.replace('_', '-')}", default="", help=text, choices=choices)


class Command(BaseCommand):
    """Who can run this has the installation's secrets; the export is recorded like any other."""

    help = "Write the audit log, newest entry first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="since", default="", help="day or time, inclusive")
        parser.add_argument("--to", dest="until", default="", help="day or time, exclusive")
        parser.add_argument("--tenant", default="", help="short name of one tenant")
        add_filters(parser)
        parser.add_argument("--format", choices=["csv", "jsonl"], default="jsonl")
        parser.add_argument("--output", default="", help="file to write (default: standard output)")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = Search(
            tenant=self._tenant(options["tenant"]),
            since=day_or_time(options["since"]) if options["since"] else None,
            until=day_or_time(options["until"]) if options["until"] else datetime.now(UTC),
            **{name: options[name] for name in FILTERS if options[name]},
        )
        with platform_scope():
            record(
                principal=SYSTEM,
                action="audit.entry.export",
                details={"format": options["format"], "search": wanted.as_details(), "by": "command line"},
            )
        if not options["output"]:
            self._write(sys.stdout.buffer, wanted, options["format"])
            return
        try:
            with Path(options["output"]).open("xb") as file:
                self._write(file, wanted, options["format"])
        except OSError as error:
            raise CommandError(f"The file cannot be written: {error}") from error

    def _write(self, file: BinaryIO, wanted: Search, form: Any) -> None:
        for piece in pieces(principal=SYSTEM, wanted=wanted, form=form):
            file.write(piece)
        file.flush()

    def _tenant(self, slug: str) -> Any:
        if not slug:
            return None
        with platform_scope(), transaction.atomic():
            found = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
        if found is None:
            raise CommandError(f"There is no tenant “{slug}”.")
        return found
