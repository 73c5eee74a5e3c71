"""A tenant of the served site with a model behind an endpoint, and a client that may call it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from governance.principals import Role
from governance.tenants.context import tenant_context
from tests.factories.governance import bearer_token, make_application, make_member, make_tenant, proven

if TYPE_CHECKING:
    from governance.access.models import Application
    from governance.principals import Principal
    from governance.tenants.models import Tenant, User

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
WITHIN_S = 1.0


class House:
    """A tenant with a model behind an endpoint, and a client that may call it."""

    def __init__(self, slug: str = "bank") -> None:
        from tests.factories.inference import adding_model, make_endpoint, make_version

        make_tenant("platform", kind="platform")
        self.tenant: Tenant = make_tenant(slug, kind="organisation")
        self.admin: User = make_member(self.tenant, Role.TENANT_ADMIN)
        version = make_version(self.principal, version="1.0.0")
        self.endpoint = make_endpoint(self.principal, version)
        make_version(self.principal, version="2.0.0", artifact=adding_model(10.0))
        self.application, self.secret = self.client()
        self.token = bearer_token(self.application, self.secret)

    @property
    def principal(self) -> Principal:
        from governance.access.principals import principal_for_user

        return principal_for_user(self.admin, tenant_id=self.tenant.id, signals=proven())

    def client(self, *, granted: bool = True) -> tuple[Application, str]:
        application, secret = make_application(self.tenant, scopes=["models:infer"], owner=self.admin)
        if granted:
            self.do("grant_invoke", application_id=application.id)
        return application, secret

    def do(self, service: str, **options: Any) -> None:
        """Call a service of the rollouts app as the tenant's administrator."""
        from inference.rollouts import services

        with tenant_context(self.tenant.id):
            getattr(services, service)(principal=self.principal, endpoint_id=self.endpoint.id, **options)


def becomes(status: int, call: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer with this status; it must come within a second."""
    began = time.monotonic()
    while True:
        answer = call()
        if answer.status_code == status:
            return answer
        assert time.monotonic() - began < WITHIN_S, f"{answer.status_code} {answer.text}"
        time.sleep(0.02)
