"""What our authorisation server adds to django-oauth-toolkit: keys that tokens are bound to, and how they were granted.

The key comes from the proof of the token request (RFC 9449 §5), which the view has verified and put into `META` under a
name that no header can have. The factor comes from the session that granted the code.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2.rfc6749 import errors

from governance.access.challenges import TokenRefused
from governance.access.models import TokenBinding
from governance.access.posture import is_revoked
from governance.access.principals import is_our_audience, token_owner
from governance.access.refusals import note_token_refusal
from governance.principals import Factor

META_KEY = "openclaw.jkt"
# Attributes of oauthlib's request, read by `vars`: what it does not have itself, it takes from the client's parameters.
GRANTED = "openclaw_granted"
GRANTED_BY = "openclaw_granted_by"


def remember_key(request: HttpRequest, jkt: str) -> None:
    """Bind what this token request gives out to the key that signed its proof."""
    request.META[META_KEY] = jkt


class BoundTokenValidator(OAuth2Validator):
    """Issues tokens bound to the key of the request's proof, and keeps the factor of who granted them."""

    def save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        jkt = _key_of(request)
        if request.client.require_dpop and not jkt:
            raise _error("invalid_dpop_proof", "this client gets tokens with a DPoP proof only", request)
        if jkt and is_revoked(tenant_id=request.client.tenant_id, jkt=jkt):
            raise _error("invalid_dpop_proof", "this key belongs to a device that was revoked", request)
        if jkt:
            token["token_type"] = "DPoP"
        super().save_bearer_token(token, request, *args, **kwargs)

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kw: Any
    ) -> bool:
        """A code asked for with `dpop_jkt` is redeemed by that key only (RFC 9449 §10)."""
        if not super().validate_code(client_id, code, client, request, *args, **kw):
            return False
        binding = TokenBinding.objects.filter(grant__code=code, grant__application=client).first()
        setattr(request, GRANTED, binding)
        return binding is None or _same_key(binding, request, "the code was asked for with another key")

    def validate_refresh_token(
        self, token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """A public client's refresh token works with its key only; a confidential one proves itself by its secret."""
        if not super().validate_refresh_token(token, client, request, *args, **kwargs):
            return False
        binding = TokenBinding.objects.filter(refresh_token=request.refresh_token_instance).first()
        setattr(request, GRANTED, binding)
        return binding is None or _same_key(binding, request, "the refresh token is bound to another key")

    def _check_and_set_request_resource(self, request: Any) -> None:
        """RFC 8707: a token for somebody else's resource server is not ours to give."""
        super()._check_and_set_request_resource(request)
        if not is_our_audience(request.resource):
            raise _error("invalid_target", "tokens are given for this platform only", request)

    def _create_authorization_code(self, request: Any, code: Any, expires: datetime | None = None) -> Any:
        grant = super()._create_authorization_code(request, code, expires)
        TokenBinding.objects.create(
            tenant_id=request.client.tenant_id,
            grant=grant,
            **vars(request)[GRANTED_BY],
        )
        return grant

    def _create_access_token(
        self, expires: datetime, request: Any, token: Any, source_refresh_token: Any = None
    ) -> Any:
        made = super()._create_access_token(expires, request, token, source_refresh_token)
        _bind(request, access_token=made, jkt=_key_of(request))
        return made

    def _create_refresh_token(self, request: Any, code: str, access_token: Any, previous: Any) -> Any:
        made = super()._create_refresh_token(request, code, access_token, previous)
        public = request.client.client_type == request.client.CLIENT_PUBLIC
        _bind(request, refresh_token=made, jkt=_key_of(request) if public else "")
        return made


def _bind(request: Any, *, jkt: str, **thing: Any) -> None:
    granted: TokenBinding | None = vars(request).get(GRANTED)
    if not jkt and granted is None:
        return
    TokenBinding.objects.create(
        tenant_id=request.client.tenant_id,
        jkt=jkt,
        factor=granted.factor if granted else Factor.NONE.value,
        factor_at=granted.factor_at if granted else None,
        **thing,
    )


def _same_key(binding: TokenBinding, request: Any, message: str) -> bool:
    if binding.jkt and binding.jkt != _key_of(request):
        owner = token_owner(request.client, request.user)
        note_token_refusal(TokenRefused("invalid_grant", message, principal=owner))
        raise errors.InvalidGrantError(description=message, request=request)
    return True


def _key_of(request: Any) -> str:
    return str(request.headers.get(META_KEY) or "")


def _error(code: str, message: str, request: Any) -> errors.OAuth2Error:
    return errors.CustomOAuth2Error(error=code, description=message, request=request)
