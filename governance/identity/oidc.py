"""allauth's OpenID Connect, made ours: providers from our table, guarded fetches, checked tokens, our own letting in.

allauth keeps the state and the PKCE verifier (RFC 7636) and exchanges the code. On top of that: a nonce, the issuer
that the tenant's administrator wrote, a signature that is always checked, and nothing that the address may change.
"""

from __future__ import annotations

import secrets
import time
from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from requests import RequestException

from governance.errors import InvalidInput
from governance.identity import id_tokens
from governance.identity.fetch import GuardedSession, check_address
from governance.identity.id_tokens import Claims, TokenRefused
from governance.identity.models import IdentityProvider
from governance.identity.selectors import sign_in_provider
from governance.identity.services import federation
from governance.identity.services.federation import NotLetIn
from governance.identity.services.providers import secret_of
from governance.identity.sign_in import PROVIDER_FACTOR

# A person who proves the identity again must have shown something to the provider in this time.
FRESH_S = 300
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class CompanyAdapter(OpenIDConnectOAuth2Adapter):
    """Talks with one provider."""

    @property
    def company(self) -> IdentityProvider:
        """The provider's row."""
        found: IdentityProvider = self.get_provider().app.company
        return found

    @property
    def openid_config(self) -> dict[str, Any]:
        """What we need of the discovery document.

        Raises OAuth2Error when it is not the expected issuer's, or names odd addresses.
        """
        if not hasattr(self, "_config"):
            with get_session(self.company) as session:
                answer = session.get(self.company.discovery_url)
                answer.raise_for_status()
            self._config = _checked(answer.json(), self.company.issuer)
        return self._config

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return request.build_absolute_uri(_address("company-callback", self.company.pk))

    def get_access_token_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The answer of the token endpoint. Raises OAuth2Error for one that makes no sense."""
        try:
            data = super().get_access_token_data(*args, **kwargs)
        except (KeyError, TypeError, ValueError) as error:
            raise OAuth2Error("the token endpoint's answer makes no sense") from error
        # The token is used once, now; how long it would last is of no interest.
        return {"access_token": str(data["access_token"]), "id_token": data.get("id_token")}

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        """Check the id token; the groups may also stand in the answer of the userinfo endpoint."""
        company = self.company
        id_token = str(kwargs["response"].get("id_token") or "")
        with get_session(company) as session:
            keys = session.get(self.openid_config["jwks_uri"])
            keys.raise_for_status()
        try:
            said = id_tokens.verified(
                id_token, keys=keys.text, issuer=company.issuer, client_id=company.client_id
            )
        except TokenRefused as error:
            federation.refuse_token(provider=company, why=f"the id token: {error}")
            raise ImmediateHttpResponse(problem_page(request, company)) from error
        if company.group_claim not in said and self.openid_config.get("userinfo_endpoint"):
            more = self._fetch_user_info(token.token)
            if more.get("sub") == said["sub"]:
                said = more | said
        login = self.get_provider().sociallogin_from_response(request, {"id_token": {"sub": said["sub"]}})
        login.claims = id_tokens.read(said, group_claim=company.group_claim)
        return login


class CompanyProvider(OpenIDConnectProvider):
    """What allauth knows of one provider."""

    oauth2_adapter_class = CompanyAdapter

    def get_login_url(self, request: HttpRequest, **kwargs: Any) -> str:
        return _address("company-begin", self.app.company.pk)

    def get_callback_url(self) -> str:
        return _address("company-callback", self.app.company.pk)

    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing but where to go afterwards is taken from the address."""
        return {"process": AuthProcess.LOGIN, "next_url": get_next_redirect_url(request)}

    def redirect(
        self, request: HttpRequest, process: str, next_url: str | None = None, data: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """To the provider, with a nonce; who is signed in already is to be asked again."""
        nonce = secrets.token_urlsafe(24)
        wanted = {"nonce": nonce}
        again = request.user.is_authenticated
        if again:
            wanted |= {"prompt": "login", "max_age": "0"}
        response: HttpResponse = super().redirect(
            request, process, next_url, data, auth_params=wanted, nonce=nonce, again=again
        )
        return response

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"issuer": self.app.company.issuer}


class SocialAdapter(DefaultSocialAccountAdapter):
    """`SOCIALACCOUNT_ADAPTER`: providers are rows of `IdentityProvider`, and nobody is let in by e-mail."""

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Any:
        """The provider with this id. Raises Http404 when nobody can sign in with it."""
        try:
            company = sign_in_provider(UUID(str(provider)))
        except ValueError:
            company = None
        if company is None:
            raise Http404
        app = SocialApp(
            provider=OpenIDConnectProvider.id,
            provider_id=str(company.pk),
            name=company.name,
            client_id=company.client_id,
            secret=secret_of(company),
            settings={"server_url": company.discovery_url, "oauth_pkce_enabled": True},
        )
        app.company = company
        request.identity_provider = company  # type: ignore[attr-defined]
        return CompanyProvider(request, app=app)

    def list_apps(self, *args: Any, **kwargs: Any) -> list[SocialApp]:
        return []

    def get_requests_session(self) -> GuardedSession:
        return get_session(self.request.identity_provider)

    def authenticate_by_email(self, sociallogin: SocialLogin) -> None:
        """Never: an address says nothing about whose account it is."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Decide about entry ourselves, and end allauth's own course here."""
        company: IdentityProvider = request.identity_provider  # type: ignore[attr-defined]
        claims: Claims = sociallogin.claims
        if why := _suspicious(sociallogin.state, claims):
            federation.refuse_token(provider=company, why=why)
            raise ImmediateHttpResponse(problem_page(request, company))
        try:
            user = federation.admit(provider=company, claims=claims)
        except NotLetIn as error:
            federation.refuse(provider=company, claims=claims, error=error)
            raise ImmediateHttpResponse(problem_page(request, company, error)) from error
        if request.user.is_authenticated:
            logout(request)
        setattr(request, PROVIDER_FACTOR, claims.factor)
        record_authentication(request, user, "socialaccount", provider=str(company.pk))
        following = Login(user=user, redirect_url=sociallogin.get_redirect_url(request))
        raise ImmediateHttpResponse(perform_login(request, following))

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Our own page, and an entry in the log where the provider's answer was not believed."""
        company: IdentityProvider = provider.app.company
        if exception is not None:
            # The class alone: allauth's messages quote the provider's answer.
            federation.refuse_token(
                provider=company, why=f"the provider's answer: {type(exception).__name__}"
            )
        raise ImmediateHttpResponse(problem_page(request, company))


def begin(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Send a browser to the provider."""
    adapter = CompanyAdapter(request, str(provider_id))
    provider = adapter.get_provider()
    try:
        response: HttpResponse = provider.redirect_from_request(request)
    except (OAuth2Error, RequestException) as error:
        federation.refuse_token(
            provider=provider.app.company, why=f"the provider's discovery document: {type(error).__name__}"
        )
        return problem_page(request, provider.app.company)
    return response


def come_back(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Take what the provider sent the browser back with."""
    view = OAuth2CallbackView.adapter_view(CompanyAdapter(request, str(provider_id)))
    response: HttpResponse = view(request)
    return response


def get_session(company: IdentityProvider) -> GuardedSession:
    """A guarded session for questions to this provider."""
    return GuardedSession(internal=company.internal_network)


def problem_page(
    request: HttpRequest, company: IdentityProvider, error: NotLetIn | None = None
) -> HttpResponse:
    """Why the sign-in did not work, and the way back."""
    context = {
        "company": company,
        "message": error.message
        if error
        else _("Signing in with %(name)s did not work.") % {"name": company},
        "hint": error.hint if error else _("Try again; if it goes on, ask your company's administrators."),
    }
    return render(request, "identity/company_problem.html", context, status=403)


def _checked(document: Any, issuer: str) -> dict[str, Any]:
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise OAuth2Error("the discovery document is another issuer's")
    config: dict[str, Any] = {"issuer": issuer}
    for name in (*ENDPOINTS, "userinfo_endpoint"):
        url = document.get(name)
        if url is None and name not in ENDPOINTS:
            continue
        try:
            check_address(str(url))
        except InvalidInput as error:
            raise OAuth2Error(f"the discovery document has no usable {name}") from error
        config[name] = url
    methods = document.get("token_endpoint_auth_methods_supported")
    # RFC 8414: a provider that says nothing takes the secret in the header.
    config["token_endpoint_auth_methods_supported"] = (
        [str(method) for method in methods] if isinstance(methods, list) else ["client_secret_basic"]
    )
    return config


def _suspicious(state: dict[str, Any], claims: Claims) -> str:
    """Why verified claims are not those that were asked for, or nothing."""
    if not secrets.compare_digest(str(state.get("nonce", "")), claims.nonce) or not claims.nonce:
        return "the nonce is not the one that was sent"
    if state.get("again") and claims.auth_time and claims.auth_time < time.time() - FRESH_S:
        return "the provider did not ask the person again"
    return ""


def _address(name: str, provider_id: UUID) -> str:
    return reverse(name, args=[provider_id])
