"""Who sits at the machine: what only a person may do needs that person's password, also on the command line."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandParser
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.principals import principal_for_user
from governance.errors import InvalidInput
from governance.principals import Factor, Principal, Signals
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Tenant, User


def person_at_terminal(username: str, tenant: Tenant | None) -> Principal:
    """The principal of somebody who knows their password; it is read from the terminal or standard input.

    Raises InvalidInput in the same words whichever is wrong: the name, the password, or that they have a role there.
    """
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    with platform_scope(), transaction.atomic():
        user = User.objects.filter(username=username, is_active=True).first()
        if user is not None and tenant is not None and user.check_password(password):
            signals = Signals(factor=Factor.PASSWORD, factor_at=time.time())
            found = principal_for_user(user, tenant_id=tenant.id, signals=signals)
            if found.tenant_id == tenant.id or found.platform:
                return found
    raise InvalidInput(_("The name, the password or the organisation is not right."))


def new_password() -> str:
    """A new password, asked twice at a terminal, else the first line of standard input. Raises InvalidInput."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise InvalidInput("The two passwords differ.")
    return first


def add_person(parser: CommandParser) -> None:
    """The options that say who acts, and in which tenant."""
    parser.add_argument("--as", dest="user", required=True, help="who does it; the password is read")
    parser.add_argument("--tenant", required=True, help="the short name of the tenant in which they act")


@contextmanager
def acting_as(username: str, tenant_slug: str) -> Iterator[Principal]:
    """The principal of somebody who knows their password, in their own rows and one transaction.

    Raises InvalidInput as `person_at_terminal` does.
    """
    with platform_scope(), transaction.atomic():
        tenant = Tenant.objects.filter(slug=tenant_slug).first()
    found = person_at_terminal(username, tenant)
    with row_scope(RowScope(found.tenant_id, found.platform)), transaction.atomic():
        yield found
