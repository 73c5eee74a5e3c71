"""The authorisation server: token, revocation and authorisation endpoints, and their metadata (RFC 8414)."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django_ratelimit.core import is_ratelimited
from oauth2_provider import views as oauth_views
from oauth2_provider.exceptions import OAuthToolkitError
from oauthlib.oauth2.rfc6749.errors import CustomOAuth2Error

from governance.access.assurance import LEVELS, assurance
from governance.access.challenges import ALGORITHMS, TokenRefused, acr_of, level_of
from governance.access.credentials import only_one, proofs_of, urls_of
from governance.access.decisions import require
from governance.access.dpop import check_proof, nonce
from governance.access.models import Application
from governance.access.network import request_address
from governance.access.oauth import GRANTED_BY, remember_key
from governance.access.replay import use_once
from governance.access.requests import principal_of
from governance.access.scopes import SCOPES
from governance.access.stepup import offer_nonce, reauthenticate_path
from governance.audit.services import record
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

# A factor shown so recently satisfies any max_age, so that coming back from proving it does not ask for it again.
FRESH_S = 60
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def client_key(group: str, request: HttpRequest) -> str:
    """What token requests are counted by: the client's address and the client id it claims."""
    return f"{request_address(request)}:{request.POST.get('client_id', '')}"


class ThrottledOAuth(View):
    """The OAuth endpoints run before any tenant is known, so in platform scope, and are rate-limited."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        limited = is_ratelimited(
            request, group="oauth", key=client_key, rate=settings.TOKEN_ENDPOINT_RATE, increment=True
        )
        if limited:
            body = {"error": "slow_down", "error_description": _("Too many requests. Try again in a minute.")}
            return JsonResponse(body, status=429, headers={"Retry-After": "60"})
        with platform_scope(), transaction.atomic():
            return super().dispatch(request, *args, **kwargs)


@method_decorator([csrf_exempt, transaction.non_atomic_requests], name="dispatch")
class Token(ThrottledOAuth, oauth_views.TokenView):
    """RFC 6749 token endpoint. With a DPoP proof it gives out tokens that work only with the proof's key (RFC 9449)."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        proofs = proofs_of(request)
        if proofs:
            try:
                proof = check_proof(only_one(proofs), method="POST", urls=urls_of(request))
                use_once(proof)
            except TokenRefused as refused:
                return _oauth_error(refused)
            remember_key(request, proof.jkt)
        response: HttpResponse = super().post(request, *args, **kwargs)
        # An error that comes up while a token is made has no headers of its own.
        response.headers["Content-Type"] = "application/json"
        response.headers["Cache-Control"] = "no-store"
        if proofs and settings.DPOP_NONCE_REQUIRED:
            response.headers["DPoP-Nonce"] = nonce(time.time())
        return response


@method_decorator([csrf_exempt, transaction.non_atomic_requests], name="dispatch")
class RevokeToken(ThrottledOAuth, oauth_views.RevokeTokenView):
    """RFC 7009 revocation: honoured by every process within a second."""


@method_decorator(never_cache, name="dispatch")
class Authorize(oauth_views.AuthorizationView):
    """RFC 6749 authorisation endpoint: a person lets an application of the own tenant act in the own name.

    `acr_values` and `max_age` (RFC 9470 §5) are met by proving the identity again first. The token remembers how and
    when that was, so that what it may do later is judged by it.
    """

    template_name = "access/authorize.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        principal = principal_of(request)
        if principal.is_authenticated:
            require(principal, "access.token.authorize")
            answer = self._unmet(request, principal)
            if answer is not None:
                return answer
        response = super().dispatch(request, *args, **kwargs)
        # The answer to the form leads to the application, which browsers count as a target of the form.
        if back := _origin(request.GET.get("redirect_uri", "")):
            response._csp_update = {"form-action": [back]}
        return response

    def handle_prompt_login(self) -> HttpResponse:
        query = self.request.GET.copy()
        query.pop("prompt")
        return HttpResponseRedirect(reauthenticate_path(1, back=f"{self.request.path}?{query.urlencode()}"))

    def create_authorization_response(
        self, request: HttpRequest, scopes: Any, credentials: dict[str, Any], allow: bool
    ) -> Any:
        principal = principal_of(request)
        signals = principal.signals
        shown = datetime.fromtimestamp(signals.factor_at, UTC) if signals.factor_at else None
        credentials[GRANTED_BY] = {
            "jkt": request.GET.get("dpop_jkt", ""),
            "factor": signals.factor.value,
            "factor_at": shown,
        }
        made = super().create_authorization_response(request, scopes, credentials, allow)
        application = Application.objects.get(client_id=credentials["client_id"])
        record(
            principal=principal,
            action="access.token.authorize",
            target=ObjectRef.of(application),
            tenant_id=application.tenant_id,
            details={"scopes": scopes.split(), "factor": signals.factor.value},
        )
        return made

    def _unmet(self, request: HttpRequest, principal: Principal) -> HttpResponseBase | None:
        """What stands between this session and what the application asks for; None when nothing does."""
        acr_values, max_age = request.GET.get("acr_values", ""), request.GET.get("max_age", "")
        level = level_of(acr_values)
        if not _THUMBPRINT.fullmatch(request.GET.get("dpop_jkt", "") or "x" * 43):
            return self._refused("invalid_request", _("dpop_jkt must be the thumbprint of a key."))
        if max_age and not (max_age.isdecimal() and max_age.isascii() and len(max_age) <= 9):
            return self._refused("invalid_request", _("max_age must be a number of seconds."))
        if acr_values.strip() and level is None:
            return self._refused(
                "unmet_authentication_requirements",
                _("Known values of acr_values: %(values)s.") % {"values": " ".join(map(acr_of, (1, 2, 3)))},
            )
        age_s = time.time() - principal.signals.factor_at
        if assurance(principal).level >= (level or 0) and not (
            max_age and age_s > max(int(max_age), FRESH_S)
        ):
            return None
        if "none" in request.GET.get("prompt", "").split():
            return self._refused("login_required", _("The person must prove the identity again."))
        back = f"{request.path}?{urlencode(list(_pairs(request)))}"
        return HttpResponseRedirect(reauthenticate_path(level or 1, back=back))

    def _refused(self, error: str, description: str) -> HttpResponseBase:
        """An error for the application, sent to its own address only after the request was found to be its own."""
        try:
            _scopes, credentials = self.validate_authorization_request(self.request)
        except OAuthToolkitError as invalid:
            return self.error_response(invalid, application=None)
        told = CustomOAuth2Error(error=error, description=description, state=credentials.get("state"))
        refusal = OAuthToolkitError(error=told, redirect_uri=credentials["redirect_uri"])
        application = Application.objects.get(client_id=credentials["client_id"])
        return self.error_response(refusal, application)


@require_safe
@cache_control(public=True, max_age=3600)
@transaction.non_atomic_requests
def metadata(request: HttpRequest) -> JsonResponse:
    """RFC 8414: where the endpoints are and what they understand."""
    site = settings.PUBLIC_URL
    return JsonResponse(
        {
            "issuer": site,
            "authorization_endpoint": site + reverse("oauth-authorize"),
            "token_endpoint": site + reverse("oauth-token"),
            "revocation_endpoint": site + reverse("oauth-revoke"),
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "acr_values_supported": [acr_of(level) for level in sorted(set(LEVELS.values()) - {0})],
        }
    )


def _oauth_error(refused: TokenRefused) -> JsonResponse:
    """RFC 6749 §5.2. What is wrong with a proof is the client's fault; that nobody can tell is not."""
    body = {"error": refused.code, "error_description": refused.message}
    response = JsonResponse(body, status=400 if refused.status == 401 else refused.status)
    response.headers["Cache-Control"] = "no-store"
    offer_nonce(response, refused)
    return response


def _pairs(request: HttpRequest) -> Any:
    return ((name, value) for name, values in request.GET.lists() for value in values)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    good = parts.scheme == "https" and re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc)
    return f"https://{parts.netloc}" if good else ""
