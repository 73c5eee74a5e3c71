"""The second factor of somebody who sits at the machine: a code of the own app, or a recovery code."""

from __future__ import annotations

import getpass
import sys
import time
from dataclasses import replace

import redis
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access import attempts
from governance.errors import InvalidInput
from governance.identity.mfa import first_use, owned_by
from governance.identity.services.factors import note_failure
from governance.principals import Factor, Principal
from governance.tenants.context import platform_scope
from governance.tenants.models import User

MOST_FAILURES = 5
LOCKED_S = 900.0


def with_second_factor(person: Principal) -> Principal:
    """The person, who has shown the password, after a code as well; it is read from the terminal or standard input.

    A code works once. Raises InvalidInput for one that is not right, which is kept in the audit log, and after
    `MOST_FAILURES` of them within a quarter of an hour for every one.
    """
    code = _read()
    now = time.time()
    if attempts.failures_since(person.label, now - LOCKED_S) >= MOST_FAILURES:
        raise InvalidInput(_("There were too many wrong codes. Wait a quarter of an hour."))
    with platform_scope(), transaction.atomic():
        user = User.objects.get(pk=person.id)
        good = _is_right(user, code)
    if not good:
        attempts.note_failure(person.label)
        note_failure(user=user, kind="code", again=False)
        raise InvalidInput(_("That is not right. Try again with a new code."))
    return replace(person, signals=replace(person.signals, factor=Factor.OTP, factor_at=now))


def _is_right(user: User, code: str) -> bool:
    rows = Authenticator.objects.select_for_update(of=("self",)).filter(user=user)
    with owned_by(user.pk):
        for row in rows.exclude(type=Authenticator.Type.WEBAUTHN):
            if row.wrap().validate_code(code):
                return row.type != Authenticator.Type.TOTP or _is_new(user, code)
    return False


def _is_new(user: User, code: str) -> bool:
    try:
        return first_use(user.pk, code)
    except (redis.RedisError, OSError) as away:
        raise InvalidInput(
            _("Whether this code was used before cannot be told now. Use a recovery code.")
        ) from away


def _read() -> str:
    prompt = "Code of your app, or a recovery code: "
    given = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    return given.strip()
