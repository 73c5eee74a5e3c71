"""`openclaw audit heads`: print the signed heads, for keeping where the database's owner cannot reach."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from governance.audit.heads import export_heads, sign_heads


class Command(BaseCommand):
    """Signs what has moved first, so that the printed heads are the chains' present ends."""

    help = "Print the signed heads of the audit chains."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="short name of one tenant")
        parser.add_argument("--all", action="store_true", help="every signed head, not only the newest")
        parser.add_argument("--json", action="store_true", help="for a file that verify --against reads")

    def handle(self, *args: Any, **options: Any) -> None:
        sign_heads()
        found = export_heads(tenant=options["tenant"], every=options["all"])
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=1))
            return
        for head in found["heads"]:
            self.stdout.write(f"{head['slug']}  {head['sequence']}  {head['entry_hash']}  {head['at']}")
