"""`openclaw manage create_administrator NAME`: the first platform administrator of a new installation."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.services import add_membership, create_person
from governance.access.terminal import new_password
from governance.audit.services import platform_tenant_id
from governance.errors import DomainError
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Makes the platform's own tenant if there is none, and a person with the role of its administrator."""

    help = "Make a platform administrator. The password is asked for, or read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--platform-name", default="OpenClaw", help="The platform tenant's name, if it is new."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            password = new_password()
            with platform_scope(), transaction.atomic():
                tenant, _created = Tenant.objects.get_or_create(
                    kind=Tenant.Kind.PLATFORM, defaults={"slug": "platform", "name": options["platform_name"]}
                )
                platform_tenant_id.cache_clear()
                user = create_person(
                    principal=SYSTEM, username=options["username"], password=password, email=options["email"]
                )
                add_membership(principal=SYSTEM, user=user, tenant_id=tenant.id, role=Role.PLATFORM_ADMIN)
        except ValidationError as error:
            raise CommandError("The password is too weak: " + " ".join(error.messages)) from error
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user.username} administers {tenant.name}.")
