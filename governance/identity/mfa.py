"""Second factors as allauth keeps them, with their secrets sealed and bound to their owner.

allauth hands secrets to `encrypt` and `decrypt` without saying whose they are, so the owner is named around the call
(`owned_by`) and written before the sealed bytes, where it is part of what the seal covers: a secret that was copied
into another person's row opens as nothing.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from allauth.mfa import app_settings as mfa_settings
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from governance.keys.envelopes import seal_for_platform, unseal_for_platform
from governance.keys.errors import NotSealed
from governance.tenants.models import User

PURPOSE = "second-factor"
VERSION = "1"
_owner: ContextVar[UUID | None] = ContextVar("openclaw_factor_owner", default=None)


@contextmanager
def owned_by(user_id: UUID) -> Iterator[None]:
    """Within, secrets of second factors are this person's: sealed for, and opened only if they are."""
    token = _owner.set(user_id)
    try:
        yield
    finally:
        _owner.reset(token)


class Adapter(DefaultMFAAdapter):
    """`MFA_ADAPTER`: sealed secrets, and our own words."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("That is not right. Try again with a new code."),
    }

    def encrypt(self, text: str) -> str:
        """Seal a secret for the owner. Without one there is nothing that it could be bound to."""
        owner = _owner.get()
        if owner is None:
            raise RuntimeError("a second factor's secret needs an owner")
        blob = seal_for_platform(text.encode(), purpose=PURPOSE, object_id=str(owner))
        return f"{VERSION}.{owner}.{base64.b64encode(blob).decode()}"

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret. Raises Unsealable when it is not the owner's, KeysUnavailable when the keys are away."""
        version, owner, blob = ([*encrypted_text.split("."), "", ""])[:3]
        expected = _owner.get()
        if version != VERSION or (expected is not None and owner != str(expected)):
            raise NotSealed
        try:
            sealed = base64.b64decode(blob, validate=True)
        except binascii.Error as error:
            raise NotSealed from error
        return unseal_for_platform(sealed, purpose=PURPOSE, object_id=owner).decode()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return super().get_public_key_credential_rp_entity() | {"name": "OpenClaw"}

    def get_totp_label(self, user: User) -> str:
        return user.get_username()

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        return str(_("Passkey"))


def first_use(user_id: UUID, code: str) -> bool:
    """Whether a code of this person's app is used for the first time while it could be right (RFC 6238 §5.2)."""
    window_s = mfa_settings.TOTP_PERIOD * (2 * mfa_settings.TOTP_TOLERANCE + 1)
    digits = "".join(letter for letter in code if letter.isalnum())
    name = salted_hmac("openclaw.totp", f"{user_id}:{digits}", algorithm="sha256").hexdigest()
    return bool(cache.add(f"openclaw:totp:{name}", 1, timeout=window_s))


def passkeys_work_here(request: HttpRequest) -> bool:
    """Browsers bind passkeys to a name: a site that is opened by its bare address can have none."""
    host = request.get_host().rsplit(":", 1)[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def passkey_options(options: dict[str, Any]) -> dict[str, Any]:
    """allauth's creation options, asking for a key that can also be used without a name and password."""
    selection = options["publicKey"].setdefault("authenticatorSelection", {})
    selection |= {"residentKey": "preferred", "requireResidentKey": False, "userVerification": "preferred"}
    return options


def wrong_code() -> ValidationError:
    """The answer to a code or key that proves nothing."""
    return ValidationError(Adapter.error_messages["incorrect_code"], code="incorrect_code")
