"""`openclaw manage seed_demo`: the demo's tenants and one account per role."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from openclaw_site.demo.accounts import seed
from openclaw_site.demo.people import ACCOUNTS_FILE


class Command(BaseCommand):
    """Doing it again changes nothing. The random passwords are in the secrets folder."""

    help = f"Make the demo's tenants and one account per role; the passwords go to secrets/{ACCOUNTS_FILE}."

    def handle(self, *args: Any, **options: Any) -> None:
        for account in seed():
            self.stdout.write(f"{account.username}: {account.role} in {account.tenant}")
