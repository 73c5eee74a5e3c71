"""What libraries tell by signals, handed to our services in the same transaction."""

from __future__ import annotations

from typing import Any

from allauth.mfa.signals import authentication_failed
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from governance.identity import sign_in
from governance.identity.services import factors
from governance.tenants.models import User


@receiver(user_logged_in)
def _signed_in(sender: Any, request: HttpRequest, user: User, **_more: Any) -> None:
    sign_in.begun(request, user)


@receiver(user_logged_out)
def _signed_out(sender: Any, request: HttpRequest, user: User | None = None, **_more: Any) -> None:
    if user is not None:
        sign_in.ended(request, user, reason="signed out")


@receiver(authentication_failed)
def _second_factor_failed(
    sender: Any, request: HttpRequest, user: User, authenticator: Any, **more: Any
) -> None:
    factors.note_failure(user=user, kind=authenticator.type, again=bool(more.get("reauthentication")))
    # Counted with wrong passwords: whoever guesses codes is locked out like who guesses passwords.
    user_login_failed.send(sender=__name__, credentials={"username": user.get_username()}, request=request)


@receiver(user_locked_out)
def _locked_out(sender: Any, request: HttpRequest, username: str | None, **_more: Any) -> None:
    # Told again at every attempt while the lock holds; the first one is worth an entry.
    if username and getattr(request, "axes_failures_since_start", None) == settings.AXES_FAILURE_LIMIT:
        factors.note_lock(username=username)
