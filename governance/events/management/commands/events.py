"""`openclaw events …`: transmitters of security events and what they told, at the machine itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from governance.errors import DomainError
from governance.events import selectors, services
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Acts as the system: whoever runs it has the machine. Every change is in the audit log all the same."""

    help = "Security events of companies' identity providers (CAEP)."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        commands.add_parser("transmitters", help="every transmitter and where it delivers to")
        received = commands.add_parser("received", help="what was told, the newest first")
        received.add_argument("--limit", type=int, default=50)
        add = commands.add_parser("add", help="believe a transmitter")
        add.add_argument("name")
        add.add_argument("--tenant", required=True, help="the tenant's short name")
        add.add_argument("--issuer", required=True)
        add.add_argument("--audience", default="", help="default: this site's public address")
        keys = add.add_mutually_exclusive_group(required=True)
        keys.add_argument("--jwks-url", default="")
        keys.add_argument("--jwks", type=Path, help="a file with a JWK Set")
        add.add_argument("--internal-network", action="store_true", help="its address may be a private one")
        for name in ("enable", "disable"):
            change = commands.add_parser(name)
            change.add_argument("transmitter", help="its id")
            change.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, options["what"])(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def transmitters(self, options: dict[str, Any]) -> None:
        """Every transmitter."""
        for row in selectors.transmitters(SYSTEM):
            address = settings.PUBLIC_URL + reverse("caep-deliver", args=[row.pk])
            state = "enabled" if row.enabled else "disabled"
            self.stdout.write(f"{row.id}  {row.tenant.slug}  {row.name}  {row.issuer}  {state}  {address}")

    def received(self, options: dict[str, Any]) -> None:
        """The newest events."""
        for row in selectors.events(SYSTEM)[: options["limit"]]:
            kinds, done = ", ".join(row.short_types), "; ".join(row.effects) or row.state
            when = f"{row.received_at:%Y-%m-%d %H:%M:%S}"
            self.stdout.write(f"{when}  {row.transmitter.name}  {kinds}  {row.subject}  {done}")

    def add(self, options: dict[str, Any]) -> None:
        """Name a transmitter."""
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        try:
            jwks = json.loads(options["jwks"].read_text()) if options["jwks"] else None
        except (OSError, ValueError) as error:
            raise CommandError(f"The file with the keys cannot be read: {error}") from error
        made = services.add_transmitter(
            principal=SYSTEM,
            name=options["name"],
            issuer=options["issuer"],
            audience=options["audience"],
            jwks_url=options["jwks_url"],
            jwks=jwks,
            internal_network=options["internal_network"],
            tenant_id=tenant.id,
        )
        self.stdout.write(settings.PUBLIC_URL + reverse("caep-deliver", args=[made.pk]))

    def enable(self, options: dict[str, Any]) -> None:
        """Believe it again."""
        self._set(options, enabled=True)

    def disable(self, options: dict[str, Any]) -> None:
        """Believe it no more."""
        self._set(options, enabled=False)

    def _set(self, options: dict[str, Any], *, enabled: bool) -> None:
        services.set_transmitter_enabled(
            principal=SYSTEM,
            transmitter_id=options["transmitter"],
            enabled=enabled,
            reason=options["reason"],
        )
