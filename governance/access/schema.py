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
        return {"type": "oauth2", "flows": {"clientCredentials": flow}}
