"""The forms of signing in, of one's own second factors, and of the console's pages."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm
from allauth.account.internal.flows.login import perform_password_login
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import validate_totp_code
from allauth.mfa.webauthn.internal import auth as webauthn
from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from governance.identity.mfa import first_use, owned_by, wrong_code
from governance.identity.models import IDLE_MINUTES, SESSION_HOURS
from governance.principals import Role
from governance.tenants.labels import role_label
from governance.tenants.models import User

CODE = forms.TextInput(
    attrs={
        "autocomplete": "one-time-code",
        "inputmode": "numeric",
        "autocapitalize": "none",
        "spellcheck": "false",
    }
)


class SignInForm(LoginForm):
    """User name and password, as our page names them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"] = self.fields.pop("login")

    def clean(self) -> Any:
        self.cleaned_data["login"] = str(self.cleaned_data.get("username", "")).strip()
        return super().clean()

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """As allauth does it, but the session lasts as long as the rules say, which were set when it began."""
        self._login.redirect_url = redirect_url
        credentials = {"username": self.cleaned_data["login"]}
        return perform_password_login(request, credentials, self._login)


class SecondFactorForm(AuthenticateForm):
    """A code of the authenticator app or a recovery code, of exactly this person."""

    def clean_code(self) -> str:
        with owned_by(self.user.pk):
            code: str = super().clean_code()
        if self.authenticator.type == Authenticator.Type.TOTP and not first_use(self.user.pk, code):
            raise wrong_code()
        return code


class PasswordForm(forms.Form):
    """One's own password, again."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class TotpForm(forms.Form):
    """The first code of a new authenticator app."""

    code = forms.CharField(label=_("Code from the app"), max_length=12, widget=CODE)

    def __init__(self, *args: Any, user: User, secret: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user, self._secret = user, secret

    def clean_code(self) -> str:
        clear = check_rate_limit(self._user)
        code = str(self.cleaned_data["code"])
        if not (validate_totp_code(self._secret, code) and first_use(self._user.pk, code)):
            raise wrong_code()
        clear()
        return code


class PasskeyForm(forms.Form):
    """What the browser says about a new passkey, checked against the question that it was asked."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        required=False,
        help_text=_("So that you recognise it, for example “Laptop” or “Key on my key ring”."),
    )
    credential = forms.JSONField(widget=forms.HiddenInput)

    def clean_credential(self) -> dict[str, Any]:
        credential = self.cleaned_data["credential"]
        if not isinstance(credential, dict):
            raise wrong_code()
        try:
            webauthn.parse_registration_response(credential)
            webauthn.complete_registration(credential)
        except (ValueError, KeyError) as error:
            raise wrong_code() from error
        return credential


class PolicyForm(forms.Form):
    """What a tenant demands of sign-ins."""

    second_factor_roles = forms.MultipleChoiceField(
        label=_("Who must have a second factor"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Whoever has none is led to set one up after the next sign-in."),
    )
    session_hours = forms.IntegerField(
        label=_("Longest session, in hours"), min_value=SESSION_HOURS[0], max_value=SESSION_HOURS[1]
    )
    idle_minutes = forms.IntegerField(
        label=_("Sign out after so many minutes without activity"),
        min_value=IDLE_MINUTES[0],
        max_value=IDLE_MINUTES[1],
    )

    def __init__(self, *args: Any, roles: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["second_factor_roles"].choices = role_choices(roles)  # type: ignore[attr-defined]


class ProviderForm(forms.Form):
    """An identity provider with its groups, one “group = role” per line."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("As people see it when they sign in."))
    issuer = forms.URLField(
        label=_("Issuer"),
        max_length=500,
        assume_scheme="https",
        help_text=_("The address that the provider calls itself by. It cannot be changed later."),
    )
    discovery_url = forms.URLField(
        label=_("Discovery address"),
        max_length=500,
        required=False,
        assume_scheme="https",
        help_text=_("Leave empty for the usual place below the issuer."),
    )
    client_id = forms.CharField(label=_("Client id"), max_length=200)
    client_secret = forms.CharField(
        label=_("Client secret"),
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Sealed with your tenant's key; nobody can read it here again."),
    )
    group_claim = forms.CharField(
        label=_("Claim with the groups"), max_length=100, initial="groups", required=False
    )
    mappings = forms.CharField(
        label=_("Groups and roles"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
    )
    enabled = forms.BooleanField(label=_("People can sign in with it"), required=False, initial=True)
    internal_network = forms.BooleanField(
        label=_("It stands in the internal network"),
        required=False,
        help_text=_("Lets its addresses be private ones."),
    )

    def __init__(self, *args: Any, roles: frozenset[str], new: bool, internal: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mappings"].help_text = _(
            "One per line: group = role. Roles here: %(roles)s. Who is in none of the groups is not let in."
        ) % {"roles": ", ".join(sorted(roles))}
        if not new:
            for name in ("issuer", "discovery_url", "client_id"):
                del self.fields[name]
            self.fields["client_secret"].help_text = _("Leave empty to keep the present one.")
        if not internal:
            del self.fields["internal_network"]

    def clean_mappings(self) -> list[tuple[str, str]]:
        pairs = []
        for line in str(self.cleaned_data["mappings"]).splitlines():
            if not line.strip():
                continue
            value, equals, role = line.rpartition("=")
            if not equals or not value.strip() or not role.strip():
                raise forms.ValidationError(_("Write each line as “group = role”."))
            pairs.append((value.strip(), role.strip()))
        return pairs


def role_choices(roles: frozenset[str]) -> list[tuple[str, str]]:
    """Roles as a form offers them."""
    return [(role, role_label(Role(role))) for role in sorted(roles)]
