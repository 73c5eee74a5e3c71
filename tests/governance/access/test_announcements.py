"""Whatever changes a right, by whatever path, every listener hears of it at commit and not before."""

import psycopg
import pytest
from django.db import connection, transaction

from governance.access.broadcast import announce
from governance.access.grants import give_grant
from governance.principals import Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, User
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def listener(services):
    dsn = services.postgres.app_url("test_openclaw")
    with psycopg.connect(dsn, autocommit=True) as heard:
        heard.execute("LISTEN openclaw")
        yield lambda: [notice.payload for notice in heard.notifies(timeout=0.3)]


def test_nothing_is_heard_of_a_change_that_was_rolled_back(listener):
    with pytest.raises(RuntimeError), transaction.atomic():
        announce("endpoint", "1")
        raise RuntimeError
    assert listener() == []


def test_an_unknown_topic_is_a_mistake():
    with pytest.raises(ValueError, match="unknown topic"):
        announce("weather", "1")


def test_membership_grant_account_and_tenant_changes_are_heard(org, member, listener):
    user = member(org, Role.SERVICE)
    listener()
    give_grant(user=user, permission="tenants.view_tenant", target=org)
    assert listener() == [f"grant:{user.id}"]
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(user=user).delete()
        User.objects.filter(pk=user.pk).update(is_active=False)
    assert set(listener()) == {f"membership:{user.id}"}


def test_a_deleted_token_is_heard_even_from_raw_sql(org, listener):
    application, secret = make_application(org, scopes=["models:infer"])
    bearer_token(application, secret)
    listener()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM oauth2_provider_accesstoken RETURNING token_checksum")
        checksum = cursor.fetchone()[0]
    assert listener() == [f"token:{checksum}"]
