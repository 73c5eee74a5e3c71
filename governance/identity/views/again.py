"""Proving who one is again: exactly the factors that reach the wanted level, or how to get one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.utils import get_next_redirect_url
from allauth.core import ratelimit
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import ReauthenticateWebAuthnForm
from allauth.mfa.webauthn.internal import auth as webauthn
from allauth.socialaccount.models import SocialAccount
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from governance.access.assurance import LEVELS
from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.identity import sign_in
from governance.identity.forms import PasswordForm, SecondFactorForm
from governance.identity.mfa import passkeys_work_here
from governance.identity.selectors import factors_of
from governance.principals import Factor
from governance.tenants.models import User


@dataclass(frozen=True, slots=True)
class Offer:
    """What the page offers to somebody for a level."""

    password: bool
    code: bool
    passkey: bool

    @property
    def anything(self) -> bool:
        """Whether there is a way on."""
        return self.password or self.code or self.passkey


def offer(held: frozenset[Factor], level: int, *, present: Factor) -> Offer:
    """Which factors reach `level`.

    A password is not asked for where the session stands on a second factor: alone it would prove less than is known.
    """
    stronger = LEVELS[present] > LEVELS[Factor.PASSWORD] and bool(held - {Factor.PASSWORD})
    return Offer(
        password=Factor.PASSWORD in held and level <= LEVELS[Factor.PASSWORD] and not stronger,
        code=Factor.OTP in held and level <= LEVELS[Factor.OTP],
        passkey=Factor.PASSKEY in held and level <= LEVELS[Factor.PASSKEY],
    )


@never_cache
@sensitive_post_parameters("password", "code")
@require_http_methods(["GET", "HEAD", "POST"])
def reauthenticate(request: HttpRequest) -> HttpResponse:
    """`?next=` is where to go on, `?level=` (1 to 3) what must be reached."""
    require(principal_of(request), "identity.account.view")
    user = sign_in.person_of(request)
    level = _level(request)
    following = get_next_redirect_url(request) or reverse("home")
    offered = offer(factors_of(user), level, present=sign_in.factor_now(request))
    forms: dict[str, Any] = {"password": PasswordForm(), "code": SecondFactorForm(user=user)}
    if request.method == "POST":
        if not ratelimit.consume(request, action="reauthenticate", user=user):
            return ratelimit.respond_429(request)
        factor = _shown(request, user, offered, forms)
        if factor is not Factor.NONE:
            sign_in.proven(request, factor, reason=f"level {level}")
            return HttpResponseRedirect(following)
    context = {
        "level": level,
        "next": following,
        "offered": offered,
        "passkeys_work": passkeys_work_here(request),
        "options": json.dumps(webauthn.begin_authentication(user)) if offered.passkey else "",
        "forms": forms,
        "company": None if offered.anything or level > 1 else _company(user),
    }
    return render(request, "identity/reauthenticate.html", context)


def _shown(request: HttpRequest, user: User, offered: Offer, forms: dict[str, Any]) -> Factor:
    """The factor that this POST proves; the forms tell what was wrong otherwise."""
    if "password" in request.POST and offered.password:
        form = forms["password"] = PasswordForm(request.POST)
        if form.is_valid():
            if get_adapter().reauthenticate(user, form.cleaned_data["password"]):
                return Factor.PASSWORD
            form.add_error("password", _("The password is not right."))
    elif "code" in request.POST and offered.code:
        form = forms["code"] = SecondFactorForm(request.POST, user=user)
        if form.is_valid():
            row: Authenticator = form.authenticator
            row.record_usage()
            return Factor.OTP
    elif "credential" in request.POST and offered.passkey:
        form = forms["passkey"] = ReauthenticateWebAuthnForm(request.POST, user=user)
        if form.is_valid():
            form.cleaned_data["credential"].record_usage()
            return Factor.PASSKEY
    return Factor.NONE


def _level(request: HttpRequest) -> int:
    wanted = request.POST.get("level") or request.GET.get("level") or "1"
    return min(max(int(wanted), 1), 3) if wanted.isdecimal() and len(wanted) < 3 else 1


def _company(user: User) -> str:
    """The address of the company's sign-in, for somebody who has nothing else."""
    link = SocialAccount.objects.filter(user=user).first()
    return reverse("company-begin", args=[link.provider]) if link else ""
