"""`openclaw identity …`: providers, sessions, rules of sign-in and lost second factors from the command line.

Who can run this has the machine itself, so it acts as the system; every change is in the tenant's audit log.
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.errors import DomainError, NotFound
from governance.identity import selectors
from governance.identity.services import factors, policy, providers, sessions
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant, User


class Command(BaseCommand):
    """One sub-command per thing to do; `--tenant` is the tenant's short name."""

    help = "Identity providers, sessions, sign-in rules and lost second factors."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        for name, text in (
            ("providers", "List a tenant's identity providers."),
            ("provider-add", "Add an identity provider; its client secret is read from standard input."),
            ("provider-change", "Change an identity provider."),
            ("sessions", "List a tenant's open sessions."),
            ("end-session", "End one session."),
            ("end-sessions", "End every session of a person in the tenant."),
            ("rules", "Show or set a tenant's sign-in rules."),
            ("reset-factors", "Take all second factors of a person away."),
        ):
            command = commands.add_parser(name, help=text)
            command.add_argument("--tenant", required=True)
            getattr(self, f"_arguments_{name.replace('-', '_')}", lambda _command: None)(command)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                tenant = Tenant.objects.filter(slug=options["tenant"]).first()
                if tenant is None:
                    raise NotFound(f"There is no tenant “{options['tenant']}”.")
                getattr(self, "_" + options["command"].replace("-", "_"))(tenant, options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _arguments_provider_add(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--issuer", required=True)
        parser.add_argument("--discovery-url", default="")
        parser.add_argument("--client-id", required=True)
        parser.add_argument("--group-claim", default="groups")
        parser.add_argument("--internal-network", action="store_true")
        parser.add_argument("--group", action="append", default=[], metavar="GROUP=ROLE")

    def _arguments_provider_change(self, parser: CommandParser) -> None:
        parser.add_argument("provider", help="its name or id")
        parser.add_argument("--enable", dest="enabled", action="store_true", default=None)
        parser.add_argument("--disable", dest="enabled", action="store_false")
        parser.add_argument("--group", action="append", default=None, metavar="GROUP=ROLE")
        parser.add_argument("--new-secret", action="store_true", help="read it from standard input")

    def _arguments_end_session(self, parser: CommandParser) -> None:
        parser.add_argument("session", type=UUID, help="its id, as `sessions` lists it")
        parser.add_argument("--reason", default="")

    def _arguments_end_sessions(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", default="")

    def _arguments_rules(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--second-factor", action="append", default=None, metavar="ROLE", help="“none” for nobody"
        )
        parser.add_argument("--session-hours", type=int)
        parser.add_argument("--idle-minutes", type=int)

    def _arguments_reset_factors(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)

    def _providers(self, tenant: Tenant, options: dict[str, Any]) -> None:
        for provider in selectors.providers(tenant.pk):
            state = "enabled" if provider.enabled else "disabled"
            self.stdout.write(f"{provider.pk}  {provider.name}  {provider.issuer}  {state}")
            for row in provider.mappings.all():
                self.stdout.write(f"  {row.value} = {row.role}")

    def _provider_add(self, tenant: Tenant, options: dict[str, Any]) -> None:
        provider = providers.add_provider(
            principal=SYSTEM,
            tenant_id=tenant.pk,
            name=options["name"],
            issuer=options["issuer"],
            discovery_url=options["discovery_url"],
            client_id=options["client_id"],
            client_secret=sys.stdin.readline().strip(),
            group_claim=options["group_claim"],
            internal_network=options["internal_network"],
            mappings=_pairs(options["group"]),
        )
        self.stdout.write(f"{provider.pk}  {provider.name}")

    def _provider_change(self, tenant: Tenant, options: dict[str, Any]) -> None:
        wanted = options["provider"]
        found = [p for p in selectors.providers(tenant.pk) if wanted in (p.name, str(p.pk))]
        if len(found) != 1:
            raise NotFound(f"There is no one provider “{wanted}”.", hint="Name it by its id.")
        changed = providers.change_provider(
            principal=SYSTEM,
            provider_id=found[0].pk,
            enabled=options["enabled"],
            client_secret=sys.stdin.readline().strip() if options["new_secret"] else None,
            mappings=None if options["group"] is None else _pairs(options["group"]),
        )
        self.stdout.write(f"{changed.pk}  {changed.name}  {'enabled' if changed.enabled else 'disabled'}")

    def _sessions(self, tenant: Tenant, options: dict[str, Any]) -> None:
        for row in selectors.sessions(tenant.pk):
            self.stdout.write(
                f"{row.pk}  {row.user.get_username()}  {row.factor}  {row.program or '-'}  {row.network or '-'}  "
                f"since {row.started_at:%Y-%m-%d %H:%M}  seen {row.last_seen_at:%Y-%m-%d %H:%M}"
            )

    def _end_session(self, tenant: Tenant, options: dict[str, Any]) -> None:
        if not selectors.sessions(tenant.pk).filter(pk=options["session"]).exists():
            raise NotFound("There is no such session, or it has ended already.")
        sessions.end(
            principal=SYSTEM,
            session_id=options["session"],
            reason=options["reason"] or "ended from the command line",
        )
        self.stdout.write("The session has ended.")

    def _end_sessions(self, tenant: Tenant, options: dict[str, Any]) -> None:
        count = sessions.end_of_person(
            principal=SYSTEM,
            user_id=_person(options["username"]).pk,
            tenant_id=tenant.pk,
            reason=options["reason"] or "ended from the command line",
        )
        self.stdout.write(f"{count} sessions ended.")

    def _rules(self, tenant: Tenant, options: dict[str, Any]) -> None:
        kept = selectors.policy_of(tenant.pk)
        given = {name: options[name] for name in ("second_factor", "session_hours", "idle_minutes")}
        if any(value is not None for value in given.values()):
            roles = given["second_factor"]
            kept = policy.set_policy(
                principal=SYSTEM,
                tenant_id=tenant.pk,
                second_factor_roles=kept.second_factor_roles
                if roles is None
                else [role for role in roles if role != "none"],
                session_hours=given["session_hours"] or kept.session_hours,
                idle_minutes=given["idle_minutes"] or kept.idle_minutes,
            )
        self.stdout.write(f"second factor: {', '.join(kept.second_factor_roles) or 'nobody must'}")
        self.stdout.write(f"session: {kept.session_hours} h, without activity {kept.idle_minutes} min")

    def _reset_factors(self, tenant: Tenant, options: dict[str, Any]) -> None:
        count = factors.reset(
            principal=SYSTEM,
            user_id=_person(options["username"]).pk,
            tenant_id=tenant.pk,
            reason=options["reason"],
        )
        self.stdout.write(f"{count} second factors taken away; every session of the account has ended.")


def _person(username: str) -> User:
    found = User.objects.filter(username=username).first()
    if found is None:
        raise NotFound(f"There is nobody called “{username}”.")
    return found


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    pairs = [line.rpartition("=") for line in lines]
    if any(not equals for _value, equals, _role in pairs):
        raise CommandError("Write groups as GROUP=ROLE.")
    return [(value, role) for value, _equals, role in pairs]
