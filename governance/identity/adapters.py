"""How allauth signs people in here: no sign-up, no mail, no messages of its own, and never a service account."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from governance.access.network import request_address
from governance.tenants.models import User


class AccountAdapter(DefaultAccountAdapter):
    """`ACCOUNT_ADAPTER`."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _("User name or password is not right."),
        "too_many_login_attempts": _("Too many failed attempts. Try again in a few minutes."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts are made by administrators, by the partner page, and by a company's own sign-in."""
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Wrong passwords are counted by django-axes, per name and address."""

    def pre_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse | None:
        self._people_only(user)
        response: HttpResponse | None = super().pre_login(request, user, **more)
        return response

    def login(self, request: HttpRequest, user: User) -> None:
        self._people_only(user)
        super().login(request, user)

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Our own pages say what happened."""

    def get_client_ip(self, request: HttpRequest) -> str:
        return request_address(request) or "local"

    def _people_only(self, user: User) -> None:
        if user.is_service_account or not user.is_active:
            raise PermissionDenied
