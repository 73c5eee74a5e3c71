"""`openclaw ethics bundle`: write an evidence bundle to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.errors import DomainError
from governance.ethics.bundles.services import TYPES, Form, export_bundle
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope


class Command(BaseCommand):
    """The file's ending chooses the form; only the ZIP is signed."""

    help = "Write everything known about a model version."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind")
        parser.add_argument("object_id")
        parser.add_argument("out", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        form = options["out"].suffix.removeprefix(".")
        if form not in TYPES:
            raise CommandError("The file's name must end in .zip, .json or .pdf.")
        try:
            with platform_scope():
                made = export_bundle(
                    principal=SYSTEM,
                    target=ObjectRef(options["kind"], options["object_id"]),
                    form=cast(Form, form),
                )
        except DomainError as error:
            raise CommandError(str(error)) from error
        options["out"].write_bytes(made.data)
        self.stdout.write(f"{options['out']}: content sha256 {made.sha256}")
