"""OAuth 2.0 client credentials: from the token endpoint to a principal, and back to nothing."""

import pytest
from django.test import Client

from governance.access.principals import principal_for_bearer
from governance.access.services import (
    add_membership,
    create_application,
    disable_application,
    set_user_active,
    suspend_tenant,
)
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, InvalidInput
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def client(org):
    application, secret = make_application(org, scopes=["models:infer", "models:read"])
    return application, secret, bearer_token(application, secret)


def test_a_token_is_its_applications_service_account(org, client):
    application, _secret, token = client
    principal, _expires = principal_for_bearer(token)
    assert principal.kind == "client"
    assert principal.tenant_id == org.id
    assert principal.roles == {Role.SERVICE}
    assert principal.scopes == {"models:infer", "models:read"}
    assert principal.user_id == application.service_user_id


def test_a_token_never_carries_more_scopes_than_its_application(org, client):
    application, secret, _token = client
    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": secret}
    response = Client().post("/o/token/", body | {"scope": "tenant:manage"})
    assert response.status_code in (400, 401)
    assert "access_token" not in response.json()


def test_a_wrong_secret_gets_no_token(client):
    application, _secret, _token = client
    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": "guess"}
    assert Client().post("/o/token/", body).status_code == 401


def test_the_token_endpoint_is_throttled(client, settings):
    settings.TOKEN_ENDPOINT_RATE = "2/m"
    application, _secret, _token = client
    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": "guess"}
    # Even if a minute of the limiter ends in between, one of the two has three.
    answers = [Client().post("/o/token/", body).status_code for _attempt in range(6)]
    assert 429 in answers


def disabled(org, application):
    disable_application(principal=SYSTEM, application_id=application.id)


def suspended(org, application):
    suspend_tenant(principal=SYSTEM, tenant_id=org.id, reason="test")


def account_disabled(org, application):
    set_user_active(principal=SYSTEM, user_id=application.service_user_id, active=False)


@pytest.mark.parametrize("stop", [disabled, suspended, account_disabled])
def test_a_stopped_client_has_no_principal_any_more(org, client, stop):
    application, _secret, token = client
    with platform_scope():
        stop(org, application)
    assert principal_for_bearer(token) is None


def test_a_revoked_token_is_gone(client):
    application, secret, token = client
    body = {"token": token, "client_id": application.client_id, "client_secret": secret}
    assert Client().post("/o/revoke/", body).status_code == 200
    assert principal_for_bearer(token) is None


def test_a_developer_cannot_make_a_client_and_the_refusal_names_the_action(org, principal_for):
    principal = principal_for(org, Role.DEVELOPER)
    with tenant_context(org.id), pytest.raises(AccessDenied) as refused:
        create_application(principal=principal, name="x", scopes=["models:infer"])
    assert refused.value.decision.action == "access.application.manage"


def test_an_unknown_scope_is_named(org, principal_for):
    principal = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id), pytest.raises(InvalidInput, match="everything"):
        create_application(principal=principal, name="x", scopes=["everything"])


def test_an_application_cannot_have_a_role_that_its_maker_lacks(org, principal_for):
    principal = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id), pytest.raises(InvalidInput, match="role"):
        create_application(principal=principal, name="x", scopes=[], role=Role.DEVELOPER)


def test_a_role_must_fit_the_kind_of_tenant(org, member):
    user = member(org, Role.DEVELOPER)
    with platform_scope(), pytest.raises(InvalidInput, match="reviewer"):
        add_membership(principal=SYSTEM, user=user, tenant_id=org.id, role=Role.REVIEWER)


def test_every_change_is_in_the_audit_log_without_the_secret(org, client):
    _application, secret, _token = client
    with tenant_context(org.id):
        from django.db import transaction

        with transaction.atomic():
            entries = list(AuditEntry.objects.filter(action="access.application.create"))
    assert len(entries) == 1
    assert secret not in str(entries[0].__dict__)
