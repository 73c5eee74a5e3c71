"""People who really sign in, and authenticator apps that are computed here."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.test import Client

from governance.tenants.models import User
from tests.factories.governance import PASSWORD

LOGIN = "/accounts/login/"
SECOND = "/accounts/second-factor/"
AGAIN = "/accounts/reauthenticate/"
SECURITY = "/account/security/"


@dataclass
class Person:
    """Somebody with a browser; `secret` is the key in the authenticator app."""

    user: User
    client: Client
    secret: str = ""
    codes: tuple[str, ...] = ()

    def post(self, path: str, **data: Any) -> Any:
        return self.client.post(path, data)

    def sign_in(self, *, following: str = "") -> Any:
        return self.post(LOGIN, username=self.user.username, password=PASSWORD, next=following)

    def code(self) -> str:
        """What the app shows now."""
        return totp(self.secret)

    def set_up_app(self) -> None:
        page = self.client.get(f"{SECURITY}totp/")
        assert page.status_code == 200, page.content
        self.secret = re.search(rb'id="totp-key">([A-Z2-7 ]+)<', page.content)[1].decode().replace(" ", "")  # type: ignore[index]
        answer = self.post(f"{SECURITY}totp/", code=totp(self.secret))
        assert answer.status_code == 200, answer
        self.codes = codes_on(answer)
        forget_used_codes()

    def factor(self) -> str:
        return str(self.client.session["openclaw_factor"]["factor"])

    def reload(self) -> Person:
        self.user.refresh_from_db()
        return self


def totp(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def codes_on(page: Any) -> tuple[str, ...]:
    found = re.search(rb'<pre id="codes">([^<]*)<', page.content)
    return tuple(found[1].decode().split()) if found else ()


def forget_used_codes() -> None:
    """A code works once, and a test is faster than half a minute."""
    cache.clear()
