"""`openclaw ethics verify-bundle`: is a bundle what this site signed?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.ethics.bundles.signing import KEY, NotGenuine, verify_archive
from governance.keys.providers import public_keys


class Command(BaseCommand):
    """Exit status 1 and the reason when it is not."""

    help = "Check that a bundle's files are exactly those that this site signed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            files = verify_archive(options["file"].read_bytes(), public_keys(KEY))
        except NotGenuine as error:
            raise CommandError(f"{options['file'].name} is not genuine: {error}") from error
        self.stdout.write(f"{options['file'].name} is genuine: {', '.join(sorted(files))}")
