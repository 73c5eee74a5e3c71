"""`openclaw privilege …`: who has what in a tenant, and what nobody used, at the machine itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.decisions import require
from governance.errors import DomainError
from governance.principals import SYSTEM, Role
from governance.privilege import removing, selectors, services
from governance.privilege.models import RightKind
from governance.privilege.things import find_thing
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant, User


class Command(BaseCommand):
    """Acts as the system: whoever runs it has the machine. Every change is in the audit log all the same."""

    help = "Access review, unused rights and emergency access from the command line."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        for name in ("review", "unused", "alarms"):
            listing = commands.add_parser(name)
            listing.add_argument("--tenant", required=name != "alarms", help="the tenant's short name")
            listing.add_argument("--json", action="store_true")
            if name == "review":
                listing.add_argument(
                    "--thing", default="", help="who may use it, such as rollouts.endpoint:ID"
                )
        remove = commands.add_parser("remove")
        remove.add_argument("account")
        remove.add_argument("right", help="a role, or a permission such as rollouts.invoke_endpoint")
        remove.add_argument("--object", default="", help="the object's id, for a permission")
        remove.add_argument("--tenant", required=True)
        remove.add_argument("--reason", required=True)
        end = commands.add_parser("end")
        end.add_argument("elevation", help="the id of an elevation that is in force")
        end.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, options["what"])(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def review(self, options: dict[str, Any]) -> None:
        """Every right with its use."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        thing = find_thing(tenant.id, options["thing"]) if options["thing"] else None
        rows = selectors.rights(tenant.id, thing=thing)
        if options["json"]:
            plain = [asdict(row) | {"account": row.account.username} for row in rows]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            used = (
                f"{row.count} times, last {row.last_used_at:%Y-%m-%d %H:%M}"
                if row.last_used_at
                else "never used"
            )
            thing = f" on {row.object_label or row.object_id}" if row.object_id else ""
            self.stdout.write(f"{row.account.username}: {row.name}{thing} ({used})")

    def unused(self, options: dict[str, Any]) -> None:
        """What is proposed for removal."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        rows = list(selectors.open_proposals(tenant.id))
        if options["json"]:
            fields = ("name", "object_id", "object_label", "unused_since")
            plain = [{"account": r.account.username} | {f: getattr(r, f) for f in fields} for r in rows]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            thing = f" on {row.object_label or row.object_id}" if row.object_id else ""
            self.stdout.write(
                f"{row.account.username}: {row.name}{thing}, unused since {row.unused_since:%Y-%m-%d}"
            )
        if not rows:
            self.stdout.write("Every right is in use, or not yet watched for long enough.")

    def alarms(self, options: dict[str, Any]) -> None:
        """Emergency access in force, or not yet reviewed."""
        require(SYSTEM, "privilege.right.view")
        rows = list(selectors.glass_alarms(tenant_id=self._tenant(options).id if options["tenant"] else None))
        if options["json"]:
            plain = [
                {
                    "id": row.id,
                    "tenant": row.tenant.slug,
                    "person": row.person.username,
                    "role": row.role,
                    "state": row.state,
                    "ends_at": row.ends_at,
                    "reason": row.reason,
                }
                for row in rows
            ]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            self.stdout.write(
                f"{row.id} {row.tenant.slug}: {row.person.username} as {row.role}, {row.state}: {row.reason}"
            )
        if not rows:
            self.stdout.write("No emergency access is in force or waits for a review.")

    def remove(self, options: dict[str, Any]) -> None:
        """Take one right away."""
        tenant = self._tenant(options)
        account = User.objects.filter(username=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']}.")
        removing.remove_right(
            principal=SYSTEM,
            tenant_id=tenant.id,
            account_id=account.id,
            kind=RightKind.ROLE if options["right"] in set(Role) else RightKind.GRANT,
            name=options["right"],
            object_id=options["object"],
            reason=options["reason"],
        )
        self.stdout.write("Removed.")

    def end(self, options: dict[str, Any]) -> None:
        """End an elevation now."""
        services.end_elevation(principal=SYSTEM, elevation_id=options["elevation"], reason=options["reason"])
        self.stdout.write("It is over.")

    def _tenant(self, options: dict[str, Any]) -> Tenant:
        found = Tenant.objects.filter(slug=options["tenant"]).first()
        if found is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        return found
