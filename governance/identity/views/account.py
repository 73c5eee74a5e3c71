"""One's own account: second factors, recovery codes, sessions, the password, and proving who one is again."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.mfa.webauthn.internal import auth as webauthn
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth import views as auth_views
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.audit.services import record
from governance.identity import care as cares
from governance.identity import mfa, selectors, sign_in
from governance.identity.forms import PasskeyForm, TotpForm
from governance.identity.selectors import Kind, rules_for
from governance.identity.services import factors, sessions
from governance.principals import Factor

PENDING_TOTP = "openclaw_pending_totp"


@never_cache
@require_safe
def security(request: HttpRequest) -> HttpResponse:
    """How one signs in, and where one is signed in."""
    require(principal_of(request), "identity.account.view")
    user = sign_in.person_of(request)
    care = cares.read(request.session)
    found = selectors.second_factors(user)
    context = {
        "totp": next((factor for factor in found if factor.kind == Kind.TOTP), None),
        "passkeys": [factor for factor in found if factor.kind == Kind.WEBAUTHN],
        "codes": next((factor for factor in found if factor.kind == Kind.RECOVERY_CODES), None),
        "any_factor": bool(found),
        "passkeys_work": mfa.passkeys_work_here(request),
        "has_password": user.has_usable_password(),
        "sessions": selectors.own_sessions(user),
        "present": care.session_id if care else None,
        "rules": rules_for(user),
    }
    return render(request, "identity/security.html", context)


@never_cache
@require_safe
def second_factor_due(request: HttpRequest) -> HttpResponse:
    """The page that a sign-in leads to while a second factor is owed."""
    require(principal_of(request), "identity.account.view")
    care = cares.read(request.session)
    if care is None or not care.setup:
        return HttpResponseRedirect(reverse("account-security"))
    has_one = any(f.kind != Kind.RECOVERY_CODES for f in selectors.second_factors(sign_in.person_of(request)))
    context = {"passkeys_work": mfa.passkeys_work_here(request), "has_one": has_one}
    return render(request, "identity/second_factor_due.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def totp(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app. Its secret waits in the session, sealed, until the first code is right."""
    principal, user = principal_of(request), sign_in.person_of(request)
    require(principal, "identity.factor.manage")
    sealed = request.session.get(PENDING_TOTP) if request.method == "POST" else None
    with mfa.owned_by(user.pk):
        adapter = get_mfa_adapter()
        if sealed is None:
            secret = generate_totp_secret()
            request.session[PENDING_TOTP] = adapter.encrypt(secret)
        else:
            secret = adapter.decrypt(sealed)
    form = TotpForm(request.POST if sealed else None, user=user, secret=secret)
    if sealed and form.is_valid():
        codes = factors.add_totp(principal=principal, user=user, secret=secret)
        del request.session[PENDING_TOTP]
        return _added(request, Factor.OTP, codes, _("Your authenticator app is set up."))
    picture = adapter.build_totp_svg(adapter.build_totp_url(user, secret))
    context = {
        "form": form,
        "secret": " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
        "picture": "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode(),
    }
    return render(request, "identity/totp.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def passkey(request: HttpRequest) -> HttpResponse:
    """Add a passkey; the browser makes it."""
    principal, user = principal_of(request), sign_in.person_of(request)
    require(principal, "identity.factor.manage")
    form = PasskeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        codes = factors.add_passkey(
            principal=principal,
            user=user,
            name=form.cleaned_data["name"],
            credential=form.cleaned_data["credential"],
        )
        return _added(request, Factor.PASSKEY, codes, _("Your passkey is set up."))
    options = mfa.passkey_options(webauthn.begin_registration(user, False))
    context = {"form": form, "options": json.dumps(options), "works": mfa.passkeys_work_here(request)}
    return render(request, "identity/passkey.html", context)


@require_POST
def rename(request: HttpRequest, factor_id: int) -> HttpResponse:
    """Give a passkey another name."""
    factors.rename_passkey(
        principal=principal_of(request),
        user=sign_in.person_of(request),
        factor_id=factor_id,
        name=request.POST.get("name", ""),
    )
    messages.success(request, _("Renamed."))
    return HttpResponseRedirect(reverse("account-security"))


@require_POST
def remove(request: HttpRequest, factor_id: int) -> HttpResponse:
    """Remove a second factor."""
    factors.remove(principal=principal_of(request), user=sign_in.person_of(request), factor_id=factor_id)
    messages.success(request, _("Removed. It no longer opens your account."))
    return HttpResponseRedirect(reverse("account-security"))


@never_cache
@require_POST
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes. This answer is the only place where they ever appear."""
    codes = factors.new_recovery_codes(principal=principal_of(request), user=sign_in.person_of(request))
    return render(request, "identity/recovery_codes.html", {"codes": codes})


@require_POST
def end_session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """End one of one's own sessions; of the present one, sign out."""
    care = cares.read(request.session)
    if care is not None and care.session_id == session_id:
        logout(request)
        return HttpResponseRedirect(reverse("login"))
    sessions.end_own(principal=principal_of(request), session_id=session_id)
    messages.success(request, _("The session has ended."))
    return HttpResponseRedirect(reverse("account-security"))


@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End every session of one's own but this one."""
    require(principal_of(request), "identity.own-session.end")
    count = sessions.end_others(
        principal=principal_of(request),
        user=sign_in.person_of(request),
        session=request.session,
        reason="ended by its owner",
    )
    messages.success(request, _("Sessions ended: %(count)d.") % {"count": count})
    return HttpResponseRedirect(reverse("account-security"))


class ChangePassword(auth_views.PasswordChangeView):
    """One's own password; every other session of the account ends."""

    template_name = "identity/password_change.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        principal, user = principal_of(self.request), sign_in.person_of(self.request)
        record(principal=principal, action="access.password.change")
        kept = sign_in.factor_now(self.request)
        sessions.prove(
            principal=principal,
            user=user,
            session=self.request.session,
            factor=kept,
            reason="password changed",
        )
        sessions.end_others(
            principal=principal, user=user, session=self.request.session, reason="password changed"
        )
        messages.success(self.request, _("Your password has been changed."))
        return response


def _added(request: HttpRequest, factor: Factor, codes: list[str], done: str) -> HttpResponse:
    """After a new factor: it was just shown, so it counts; recovery codes appear once."""
    sign_in.proven(request, factor, reason="set up")
    messages.success(request, done)
    if codes:
        return render(request, "identity/recovery_codes.html", {"codes": codes})
    return HttpResponseRedirect(reverse("account-security"))
