"""How the OpenAPI document describes authentication."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from governance.access.scopes import SCOPES


class PrincipalAuthenticationScheme(OpenApiAuthenticationExtension):
    """How the schema describes it."""

    target_class = "governance.access.rest_auth.PrincipalAuthentication"
    name = "oauth2"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        flow = {"tokenUrl": "/o/token/", "scopes": {name: str(text) for name, text in SCOPES.items()}}
        for_people = flow | {"authorizationUrl": "/o/authorize/", "refreshUrl": "/o/token/"}
        return {
            "type": "oauth2",
            "description": "Access tokens are sent as Bearer tokens (RFC 6750) or, where a token is bound to a key, "
            "as DPoP tokens with a proof for every request (RFC 9449).",
            "flows": {"clientCredentials": flow, "authorizationCode": for_people},
        }
