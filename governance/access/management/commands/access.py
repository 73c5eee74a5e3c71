"""`openclaw access …`: tenants, people and memberships at the machine itself."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access import services
from governance.access.decisions import require
from governance.access.models import Application
from governance.access.terminal import add_person, new_password, person_at_terminal
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

        account = commands.add_parser(
            "add-account",
            help="An account with its first role; the password is read, not given as an option.",
        )
        account.add_argument("account", help="the user name")
        account.add_argument("role", choices=[role for role in ROLES if role != Role.SERVICE.value])
        account.add_argument("--email", default="")
        account.add_argument("--tenant", required=True, help="the tenant's short name")
        made = commands.add_parser("add-tenant", help="A new isolation domain.")
        made.add_argument("tenant", help="its short name")
        made.add_argument("name")
        made.add_argument("--kind", choices=Tenant.Kind.values, required=True)
        clients = commands.add_parser("applications", help="List the programs that have a client id.")
        clients.add_argument("--json", action="store_true")
        client = commands.add_parser("add-application", help="A client; its secret is printed once.")
        client.add_argument("name")
        client.add_argument("--scope", action="append", required=True, help="once for each")
        client.add_argument("--role", choices=ROLES, default=Role.SERVICE.value)
        client.add_argument(
            "--require-dpop", action="store_true", help="tokens bound to a key only (RFC 9449)"
        )
        client.add_argument(
            "--redirect",
            action="append",
            default=[],
            help="where people return to: it acts for those who authorise it; once for each address",
        )
        client.add_argument("--public", action="store_true", help="it cannot keep a secret; with --redirect")
        add_person(client)
        stop = commands.add_parser(
            "disable-application", help="Its tokens are refused within a second, for good."
        )
        stop.add_argument("--reason", required=True)
        bound = commands.add_parser("require-dpop", help="Tokens that are bound to a key only, from now on.")
        bound.add_argument("--off", action="store_true", help="both kinds again")
        for step in (stop, bound):
            step.add_argument("application", help="its client id")
        for step in (clients, stop, bound):
            step.add_argument("--tenant", required=True, help="the tenant's short name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, "_" + options["what"].replace("-", "_"))(options)
        except ValidationError as error:
            raise CommandError("The password is too weak: " + " ".join(error.messages)) from error
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

    def _add_account(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        user = services.create_person(
            principal=SYSTEM, username=options["account"], password=new_password(), email=options["email"]
        )
        services.add_membership(principal=SYSTEM, user=user, tenant_id=tenant.id, role=Role(options["role"]))
        self.stdout.write(f"{user.username} is {options['role']} in {tenant.slug}.")

    def _add_tenant(self, options: dict[str, Any]) -> None:
        made = services.create_tenant(
            principal=SYSTEM, slug=options["tenant"], name=options["name"], kind=options["kind"]
        )
        self.stdout.write(f"{made.slug} is there.")

    def _applications(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        require(SYSTEM, "access.application.manage", tenant_id=tenant.id)
        rows = [
            {
                "client_id": row.client_id,
                "name": row.name,
                "require_dpop": row.require_dpop,
                "active": row.disabled_at is None,
            }
            for row in Application.objects.filter(tenant=tenant).order_by("id")
        ]
        self._tell(options, rows, "{client_id}: {name}{state}")

    def _add_application(self, options: dict[str, Any]) -> None:
        # Whoever makes a client answers for what it does, so it is a person.
        made = services.create_application(
            principal=person_at_terminal(options["user"], self._tenant(options)),
            name=options["name"],
            scopes=options["scope"],
            role=Role(options["role"]),
            tenant_id=self._tenant(options).id,
            require_dpop=options["require_dpop"],
            redirect_uris=options["redirect"],
            public=options["public"],
        )
        self.stdout.write(f"client id: {made.application.client_id}")
        if made.client_secret:
            self.stdout.write(f"client secret, shown this once: {made.client_secret}")

    def _disable_application(self, options: dict[str, Any]) -> None:
        found = self._application(options)
        services.disable_application(principal=SYSTEM, application_id=found.pk, reason=self._reason(options))
        self.stdout.write(f"{found.name} is disabled.")

    def _require_dpop(self, options: dict[str, Any]) -> None:
        found = self._application(options)
        required = not options["off"]
        services.set_require_dpop(principal=SYSTEM, application_id=found.pk, required=required)
        self.stdout.write(f"{found.name} gets {'bound tokens only' if required else 'bearer tokens, too'}.")

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

    def _application(self, options: dict[str, Any]) -> Application:
        rows = Application.objects.filter(tenant=self._tenant(options), client_id=options["application"])
        if (found := rows.first()) is None:
            raise NotFound(f"There is no application “{options['application']}”.")
        return found

    @staticmethod
    def _account(options: dict[str, Any]) -> User:
        found = User.objects.filter(username=options["account"]).first()
        if found is None:
            raise NotFound(f"There is no account “{options['account']}”.")
        return found
