"""Who sits at the machine: what only a person may do needs that person's password, also on the command line."""

from __future__ import annotations

import getpass
import sys
import time

from django.db import transaction

from governance.access.principals import principal_for_user
from governance.errors import InvalidInput
from governance.principals import Factor, Principal, Signals
from governance.tenants.models import Tenant, User


def person_at_terminal(username: str, tenant: Tenant) -> Principal:
    """The principal of somebody who knows their password; it is read from the terminal or standard input.

    Raises InvalidInput when name or password is wrong, or the person is nobody in this tenant.
    """
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    with transaction.atomic():
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None or not user.check_password(password):
            raise InvalidInput("The name or the password is not right.")
        signals = Signals(factor=Factor.PASSWORD, factor_at=time.time())
        found = principal_for_user(user, tenant_id=tenant.id, signals=signals)
    if found.tenant_id != tenant.id and not found.platform:
        raise InvalidInput(f"{username} has no role in “{tenant.slug}”.")
    return found
