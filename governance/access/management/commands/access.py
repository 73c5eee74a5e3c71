"""`openclaw access …`: tenants, people and memberships at the machine itself."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access import services
from governance.access.decisions import require
from governance.errors import DomainError, InvalidInput, NotFound
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User

ROLES = sorted(role.value for role in Role if role is not Role.SYSTEM)


class Command(BaseCommand):
    """Acts as the system: whoever runs it has the machine. Every change is in the audit log all the same."""

    help = "Tenants, people and memberships from the command line."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        tenants = commands.add_parser("tenants", help="List the tenants.")
        tenants.add_argument("--json", action="store_true")
        members = commands.add_parser(
            "members", help="List the people and programs of a tenant with their roles."
        )
        members.add_argument("--tenant", required=True, help="the tenant's short name")
        members.add_argument("--json", action="store_true")
        for name, text in (
            ("suspend", "Stop everything that a tenant does, within a second."),
            ("resume", "Let a suspended tenant work again."),
        ):
            command = commands.add_parser(name, help=text)
            command.add_argument("tenant", help="the tenant's short name")
            command.add_argument("--reason", required=True)
        for name, text in (
            ("disable", "Disable an account: its sessions and tokens end within a second, for good."),
            ("enable", "Let an account sign in again."),
        ):
            command = commands.add_parser(name, help=text)
            command.add_argument("account", help="the user name")
            command.add_argument("--reason", required=True)
        for name, text in (("give", "Give an account a role in a tenant."), ("take", "Take one away.")):
            command = commands.add_parser(name, help=text)
            command.add_argument("account", help="the user name")
            command.add_argument("role", choices=ROLES)
            command.add_argument("--tenant", required=True, help="the tenant's short name")
            if name == "take":
                command.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, f"_{options['what']}")(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _tenants(self, options: dict[str, Any]) -> None:
        require(SYSTEM, "tenants.tenant.manage")
        rows = [
            {"tenant": row.slug, "name": row.name, "kind": row.kind, "suspended_at": row.suspended_at}
            for row in Tenant.objects.order_by("slug")
        ]
        self._tell(options, rows, "{tenant}: {name} ({kind}{state})")

    def _members(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        require(SYSTEM, "tenants.membership.manage", tenant_id=tenant.id)
        held = Membership.in_force.filter(tenant=tenant).select_related("user")
        rows = [
            {
                "account": row.user.username,
                "role": row.role,
                "program": row.user.is_service_account,
                "active": row.user.is_active,
                "ends_at": row.expires_at,
            }
            for row in held.order_by("user__username", "role")
        ]
        self._tell(options, rows, "{account}: {role}{state}")

    def _suspend(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        services.suspend_tenant(principal=SYSTEM, tenant_id=tenant.id, reason=self._reason(options))
        self.stdout.write(f"{tenant.slug} is suspended.")

    def _resume(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        services.resume_tenant(principal=SYSTEM, tenant_id=tenant.id, reason=self._reason(options))
        self.stdout.write(f"{tenant.slug} works again.")

    def _disable(self, options: dict[str, Any]) -> None:
        self._set_active(options, active=False)

    def _enable(self, options: dict[str, Any]) -> None:
        self._set_active(options, active=True)

    def _set_active(self, options: dict[str, Any], *, active: bool) -> None:
        user = self._account(options)
        services.set_user_active(
            principal=SYSTEM, user_id=user.pk, active=active, reason=self._reason(options)
        )
        self.stdout.write(f"{user.username} is {'enabled' if active else 'disabled'}.")

    def _give(self, options: dict[str, Any]) -> None:
        user, tenant = self._account(options), self._tenant(options)
        services.add_membership(principal=SYSTEM, user=user, tenant_id=tenant.id, role=Role(options["role"]))
        self.stdout.write(f"{user.username} is {options['role']} in {tenant.slug}.")

    def _take(self, options: dict[str, Any]) -> None:
        user, tenant = self._account(options), self._tenant(options)
        held = Membership.objects.filter(user=user, tenant=tenant, role=options["role"]).first()
        if held is None:
            raise NotFound(f"{user.username} is not {options['role']} in {tenant.slug}.")
        services.remove_membership(principal=SYSTEM, membership_id=held.pk, reason=self._reason(options))
        self.stdout.write(f"{user.username} is no longer {options['role']} in {tenant.slug}.")

    def _tell(self, options: dict[str, Any], rows: list[dict[str, Any]], line: str) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(rows, default=str, indent=1))
            return
        for row in rows:
            notes = [
                *(["suspended"] if row.get("suspended_at") else []),
                *(["program"] if row.get("program") else []),
                *(["disabled"] if row.get("active") is False else []),
                *([f"until {row['ends_at']:%Y-%m-%d %H:%M}"] if row.get("ends_at") else []),
            ]
            self.stdout.write(line.format(**row, state="".join(f", {note}" for note in notes)))

    @staticmethod
    def _reason(options: dict[str, Any]) -> str:
        if not (reason := str(options["reason"]).strip()):
            raise InvalidInput("Give a reason; it is kept in the audit log.")
        return reason

    @staticmethod
    def _tenant(options: dict[str, Any]) -> Tenant:
        found = Tenant.objects.filter(slug=options["tenant"]).first()
        if found is None:
            raise NotFound(f"There is no tenant “{options['tenant']}”.")
        return found

    @staticmethod
    def _account(options: dict[str, Any]) -> User:
        found = User.objects.filter(username=options["account"]).first()
        if found is None:
            raise NotFound(f"There is no account “{options['account']}”.")
        return found
