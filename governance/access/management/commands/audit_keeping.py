"""`openclaw audit keeping …`: how long the log's entries are kept, and legal holds.

It stands on this floor because these are a person's decisions, and the audit app knows no decision point.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.terminal import person_at_terminal
from governance.audit import retention
from governance.audit.management.commands.audit_export import day_or_time
from governance.audit.selectors import keeping
from governance.errors import DomainError
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Reading needs the machine; changing needs an administrator with their password, releasing a hold a second one."""

    help = "How long entries of the audit log are kept, and legal holds."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        commands.add_parser("list", help="Every tenant's retention, and the holds.")
        retain = commands.add_parser("retain", help="Keep a tenant's entries for so many days, or for ever.")
        length = retain.add_mutually_exclusive_group(required=True)
        length.add_argument("--days", type=int)
        length.add_argument("--for-ever", action="store_true")
        hold = commands.add_parser("hold", help="Keep entries whatever the retention says.")
        hold.add_argument(
            "--from", dest="from_at", default="", help="day or time; without it, from the beginning"
        )
        hold.add_argument("--to", dest="to_at", default="", help="day or time")
        release = commands.add_parser("release", help="End a hold that somebody else set.")
        release.add_argument("hold", help="its id")
        for command in (retain, hold, release):
            command.add_argument("--tenant", required=True, help="the tenant's short name")
            command.add_argument("--as", dest="user", required=True, help="who does it; a password is read")
            command.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, f"_{options['what']}")(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        found = keeping(SYSTEM)
        for policy in found.policies:
            self.stdout.write(f"{policy.tenant.slug}: kept for {policy.days} days")
        for hold in found.holds:
            state = f"released by {hold.released_by}" if hold.released_at else "in force"
            self.stdout.write(f"{hold.id} {hold.tenant.slug}: hold by {hold.set_by}, {state}: {hold.reason}")
        if not found.policies and not found.holds:
            self.stdout.write("Every tenant's entries are kept for ever; there are no holds.")

    def _retain(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        retention.set_retention(
            principal=person_at_terminal(options["user"], tenant),
            tenant_id=tenant.id,
            days=options["days"],
            reason=options["reason"],
        )
        kept = f"for {options['days']} days" if options["days"] is not None else "for ever"
        self.stdout.write(f"Entries of {tenant.slug} are kept {kept}.")

    def _hold(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        made = retention.set_hold(
            principal=person_at_terminal(options["user"], tenant),
            tenant_id=tenant.id,
            reason=options["reason"],
            from_at=day_or_time(options["from_at"]) if options["from_at"] else None,
            to_at=day_or_time(options["to_at"]) if options["to_at"] else None,
        )
        self.stdout.write(f"Held. Somebody else releases it: openclaw audit keeping release {made.id}")

    def _release(self, options: dict[str, Any]) -> None:
        try:
            hold_id = UUID(options["hold"])
        except ValueError as error:
            raise CommandError(f"“{options['hold']}” is no id of a hold.") from error
        principal = person_at_terminal(options["user"], self._tenant(options))
        retention.release_hold(principal=principal, hold_id=hold_id, reason=options["reason"])
        self.stdout.write("Released.")

    @staticmethod
    def _tenant(options: dict[str, Any]) -> Tenant:
        found = Tenant.objects.filter(slug=options["tenant"]).first()
        if found is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        return found
