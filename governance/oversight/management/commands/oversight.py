"""`openclaw oversight …`: stop buttons and the queue, at the machine itself."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.errors import DomainError
from governance.oversight import selectors, services
from governance.oversight.models import Stop
from governance.oversight.stops import TYPES
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Anybody at the machine may press a button; releasing takes two people, who sign in."""

    help = "Press stop buttons, see what is stopped and what waits for a person."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        press = commands.add_parser("stop", help="press a stop button")
        press.add_argument("scope", choices=Stop.Scope.values)
        press.add_argument("--tenant", help="the tenant's short name; not for the platform")
        press.add_argument("--id", default="", help="the endpoint's or skill's id")
        press.add_argument("--reason", required=True)
        for name in ("stops", "queue"):
            commands.add_parser(name).add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, options["what"])(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def stop(self, options: dict[str, Any]) -> None:
        """Press one."""
        tenant = Tenant.objects.filter(slug=options["tenant"]).first() if options["tenant"] else None
        if options["scope"] != Stop.Scope.PLATFORM and tenant is None:
            raise CommandError("Say whose it is: --tenant with the tenant's short name.")
        types = {scope.value: type_ for type_, scope in TYPES.items()}
        stop = services.press_stop(
            principal=SYSTEM,
            scope=options["scope"],
            reason=options["reason"],
            target=ObjectRef(types.get(options["scope"], ""), options["id"], label=options["id"]),
            tenant_id=tenant.id if tenant else None,
        )
        self.stdout.write(f"{stop}: stopped. Two people release it, on the page of stop buttons.")

    def stops(self, options: dict[str, Any]) -> None:
        """What is stopped."""
        rows = list(selectors.stops_in_force())
        self._say(
            options,
            [
                {
                    "tenant": row.tenant.slug,
                    "scope": row.scope,
                    "target": row.target_label or row.target_id,
                    "state": row.state,
                    "reason": row.reason,
                }
                for row in rows
            ],
            "Nothing is stopped.",
        )

    def queue(self, options: dict[str, Any]) -> None:
        """What waits for a person."""
        rows = list(selectors.queue()[:200])
        self._say(
            options,
            [
                {
                    "tenant": row.tenant.slug,
                    "question": row.question,
                    "from": row.subject_label or row.subject_id,
                    "cause": row.cause,
                    "due": row.due_at.isoformat(timespec="minutes"),
                }
                for row in rows
            ],
            "Nothing waits for a person.",
        )

    def _say(self, options: dict[str, Any], rows: list[dict[str, Any]], nothing: str) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=1))
            return
        for row in rows:
            self.stdout.write("  ".join(str(value) for value in row.values() if value))
        if not rows:
            self.stdout.write(nothing)
