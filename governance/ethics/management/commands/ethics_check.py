"""`openclaw ethics check`: would a document be accepted as evidence?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.errors import DomainError
from governance.ethics.evidence import digest_of, summarize


class Command(BaseCommand):
    """Exit status 1 and every fault when it would not."""

    help = "Say whether a document would be accepted as evidence."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind")
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            document = options["file"].read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CommandError("A document of evidence is text in UTF-8.") from error
        try:
            summarize(options["kind"], document)
        except DomainError as error:
            for fault in error.errors:
                self.stdout.write(f"{fault['pointer']}: {fault['detail']}")
            raise CommandError(str(error)) from error
        self.stdout.write(f"accepted, sha256 {digest_of(document)}")
