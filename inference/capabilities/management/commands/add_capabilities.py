"""`openclaw manage add_capabilities`: the base capabilities for every organisation that lacks one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from inference.capabilities.services import add_where_missing


class Command(BaseCommand):
    """Run at every start of the site; doing it again changes nothing."""

    help = "Add the base capabilities to every organisation that lacks one of them."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Organisations that were given the base capabilities: {add_where_missing()}")
