"""`openclaw break-glass`: emergency access at the machine, for the night when no browser reaches the site."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.services import record_refusal
from governance.access.terminal import add_person, person_at_terminal
from governance.errors import AccessDenied, DomainError
from governance.identity.terminal import with_second_factor
from governance.principals import Role
from governance.privilege.services import break_glass
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Tenant

ROLES = sorted(role.value for role in Role if role not in (Role.SYSTEM, Role.SERVICE))


class Command(BaseCommand):
    """Acts as the person who types the password and a code: whoever has the machine alone breaks no glass."""

    help = "Take a role at once in an emergency. Everybody is told until somebody else has reviewed it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=ROLES)
        parser.add_argument("--reason", required=True, help="what happened; everybody reads it")
        add_person(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                tenant = Tenant.objects.filter(slug=options["tenant"]).first()
            person = with_second_factor(person_at_terminal(options["user"], tenant))
            with row_scope(RowScope(person.tenant_id, person.platform)), transaction.atomic():
                taken = break_glass(principal=person, role=Role(options["role"]), reason=options["reason"])
        except DomainError as error:
            if isinstance(error, AccessDenied):
                record_refusal(error)
            raise CommandError(" ".join(filter(None, [str(error.message), str(error.hint)]))) from error
        self.stdout.write(
            f"{person.label} is {taken.role} until {taken.ends_at:%Y-%m-%d %H:%M} UTC. Everybody is told.\n"
            f"Somebody else reviews it afterwards: openclaw privilege review-glass {taken.id}"
        )
