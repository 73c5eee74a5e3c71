"""No context, no rows; another tenant's context, no rows; and it ends with its transaction."""

import pytest
from django.db import ProgrammingError, connection, transaction
from django.db.transaction import TransactionManagementError

from governance.principals import Role
from governance.tenants.context import RowScope, current_scope, platform_scope, row_scope, tenant_context
from governance.tenants.models import Membership, Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_context_sees_no_rows(org, member):
    member(org, Role.DEVELOPER)
    assert Membership.objects.count() == 0
    with transaction.atomic():
        assert Tenant.objects.count() == 0


def test_a_tenant_sees_only_its_own_rows(org, other_org, member):
    mine, _theirs = member(org, Role.DEVELOPER), member(other_org, Role.DEVELOPER)
    with tenant_context(org.id), transaction.atomic():
        assert [m.user_id for m in Membership.objects.all()] == [mine.id]
        assert list(Tenant.objects.values_list("slug", flat=True)) == ["bank"]


def test_a_tenant_cannot_write_another_tenants_rows(org, other_org, member):
    user = member(org, Role.DEVELOPER)
    with (
        tenant_context(org.id),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Membership.objects.create(user=user, tenant=other_org, role=Role.TENANT_ADMIN)


def test_the_context_ends_with_the_transaction(org, member):
    member(org, Role.DEVELOPER)
    with tenant_context(org.id):
        with transaction.atomic():
            assert Membership.objects.count() == 1
        # The same pooled connection, outside a transaction: nothing is left behind.
        assert Membership.objects.count() == 0


def test_a_nested_scope_is_taken_back(org, other_org, member):
    member(org, Role.DEVELOPER)
    member(other_org, Role.DEVELOPER)
    with tenant_context(org.id), transaction.atomic():
        with platform_scope():
            assert Membership.objects.count() == 2
        assert Membership.objects.count() == 1


def test_a_nested_scope_is_taken_back_after_a_database_error(org, member):
    member(org, Role.DEVELOPER)
    with tenant_context(org.id), transaction.atomic():
        with (
            pytest.raises(ProgrammingError),
            transaction.atomic(),
            platform_scope(),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT no_such_column")
        assert Membership.objects.count() == 1
    assert current_scope() == RowScope()


def test_row_scope_without_anything_hides_everything_again(org, member):
    member(org, Role.DEVELOPER)
    with platform_scope(), transaction.atomic():
        assert Membership.objects.exists()
        with row_scope(RowScope()):
            assert not Membership.objects.exists()


def test_a_scope_that_cannot_be_set_is_not_left_behind(org):
    with pytest.raises(TransactionManagementError), transaction.atomic():
        with pytest.raises(ProgrammingError), connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")
        transaction.set_rollback(True)
        with platform_scope():
            pass
    assert current_scope() == RowScope()
