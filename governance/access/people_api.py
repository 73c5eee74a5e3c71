"""REST: tenants, people and memberships, as far as one may see them."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access import services
from governance.access.requests import principal_of
from governance.access.selectors import visible_people
from governance.errors import InvalidInput, NotFound
from governance.principals import Role
from governance.tenants.models import Membership, Tenant, User

NEW_KINDS = [choice for choice in Tenant.Kind.choices if choice[0] != Tenant.Kind.PLATFORM]
GIVEN_ROLES = sorted(role.value for role in Role if role is not Role.SYSTEM)


class AccountReasonSerializer(serializers.Serializer[Any]):
    """Why; it is kept in the audit log."""

    reason = serializers.CharField(max_length=2000)


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    """An isolation domain."""

    class Meta:
        model = Tenant
        fields = ["id", "slug", "name", "kind", "created_at", "suspended_at"]
        read_only_fields = fields


class NewTenantSerializer(serializers.Serializer[Any]):
    """A new isolation domain. The platform itself is one already, and the only one of its kind."""

    slug = serializers.SlugField(max_length=63, help_text="Its short name, unique on the platform.")
    name = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(choices=NEW_KINDS)


class TenantViewSet(viewsets.ReadOnlyModelViewSet[Tenant]):
    """One's own tenant; every one for platform roles."""

    decisions = {
        "list": "tenants.tenant.view",
        "retrieve": "tenants.tenant.view",
        "create": "tenants.tenant.manage",
        "suspend": "tenants.tenant.manage",
        "resume": "tenants.tenant.manage",
    }
    queryset = Tenant.objects.none()
    serializer_class = TenantSerializer
    filterset_fields = ["slug", "kind"]

    def get_queryset(self) -> QuerySet[Tenant]:
        principal = principal_of(self.request)
        rows = Tenant.objects.all()
        if principal.platform:
            return rows
        return rows.filter(pk=principal.tenant_id) if principal.tenant_id else rows.none()

    @extend_schema(request=NewTenantSerializer, responses={201: TenantSerializer})
    def create(self, request: Request) -> Response:
        """Make a tenant. It has nobody yet: make its first administrator next."""
        given = NewTenantSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.create_tenant(principal=principal_of(request), **given.validated_data)
        return Response(TenantSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=AccountReasonSerializer, responses=TenantSerializer)
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Stop everything that the tenant's people and programs do, within a second."""
        reason = _reason(request)
        tenant = services.suspend_tenant(
            principal=principal_of(request), tenant_id=self.get_object().id, reason=reason
        )
        return Response(TenantSerializer(tenant).data)

    @extend_schema(request=AccountReasonSerializer, responses=TenantSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let a suspended tenant work again."""
        reason = _reason(request)
        tenant = services.resume_tenant(
            principal=principal_of(request), tenant_id=self.get_object().id, reason=reason
        )
        return Response(TenantSerializer(tenant).data)


class PersonSerializer(serializers.ModelSerializer[User]):
    """An account."""

    class Meta:
        model = User
        fields = ["id", "username", "is_active", "is_service_account", "date_joined"]
        read_only_fields = fields


class NewPersonSerializer(serializers.Serializer[Any]):
    """A new account with its first role, in one's own tenant unless another is named."""

    username = serializers.RegexField(
        r"^[\w.@+-]+$", max_length=150, help_text="A tenant's administrator gets `name@tenant` for `name`."
    )
    password = serializers.CharField(max_length=200, write_only=True, trim_whitespace=False)
    email = serializers.EmailField(required=False, default="", allow_blank=True)
    role = serializers.ChoiceField(choices=[role for role in GIVEN_ROLES if role != Role.SERVICE.value])
    tenant = serializers.UUIDField(required=False)


class PersonViewSet(viewsets.ReadOnlyModelViewSet[User]):
    """The accounts of one's own tenant; every one for platform roles."""

    decisions = {
        "list": "tenants.membership.view",
        "retrieve": "tenants.membership.view",
        "create": "tenants.membership.manage",
        "disable": "tenants.tenant.manage",
        "enable": "tenants.tenant.manage",
    }
    queryset = User.objects.none()
    serializer_class = PersonSerializer
    filterset_fields = ["username", "is_active", "is_service_account"]

    def get_queryset(self) -> QuerySet[User]:
        return visible_people(principal_of(self.request))

    @extend_schema(request=NewPersonSerializer, responses={201: PersonSerializer})
    def create(self, request: Request) -> Response:
        """Make an account with a role. The password must pass the site's rules; the person can change it."""
        given = NewPersonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        principal = principal_of(request)
        role, tenant_id = Role(values.pop("role")), values.pop("tenant", None) or principal.tenant_id
        if tenant_id is None:
            raise InvalidInput(_("Say which tenant the person belongs to."))
        with transaction.atomic():
            user = services.create_person(principal=principal, **values)
            services.add_membership(principal=principal, user=user, tenant_id=tenant_id, role=role)
        return Response(PersonSerializer(user).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=AccountReasonSerializer, responses=PersonSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Disable the account: its sessions and tokens end within a second, for good."""
        return self._set_active(request, active=False)

    @extend_schema(request=AccountReasonSerializer, responses=PersonSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        """Let the account sign in again."""
        return self._set_active(request, active=True)

    def _set_active(self, request: Request, *, active: bool) -> Response:
        reason = _reason(request)
        user = services.set_user_active(
            principal=principal_of(request), user_id=self.get_object().pk, active=active, reason=reason
        )
        return Response(PersonSerializer(user).data)


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """A role of an account in a tenant. `expires_at` is set for an elevated one."""

    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Membership
        fields = ["id", "tenant", "user", "username", "role", "created_at", "expires_at"]
        read_only_fields = fields


class NewMembershipSerializer(serializers.Serializer[Any]):
    """Who gets which role, in one's own tenant unless another is named."""

    user = serializers.UUIDField()
    role = serializers.ChoiceField(choices=GIVEN_ROLES)
    tenant = serializers.UUIDField(required=False)


class MembershipViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Membership]
):
    """Who has which role in one's tenant; everywhere for platform roles."""

    decisions = {
        "list": "tenants.membership.view",
        "retrieve": "tenants.membership.view",
        "create": "tenants.membership.manage",
        "remove": "tenants.membership.manage",
    }
    queryset = Membership.objects.none()
    serializer_class = MembershipSerializer
    filterset_fields = ["user", "role", "tenant"]

    def get_queryset(self) -> QuerySet[Membership]:
        principal = principal_of(self.request)
        rows = Membership.objects.select_related("user")
        if principal.platform:
            return rows
        return rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()

    @extend_schema(request=NewMembershipSerializer, responses={201: MembershipSerializer})
    def create(self, request: Request) -> Response:
        """Give a role for good; doing it twice changes nothing. A tenant's administrator gives it to members only."""
        given = NewMembershipSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        user = visible_people(principal).filter(pk=given.validated_data["user"]).first()
        tenant_id = given.validated_data.get("tenant") or principal.tenant_id
        if user is None or tenant_id is None:
            raise NotFound(_("There is no such account in this tenant."))
        made = services.add_membership(
            principal=principal, user=user, tenant_id=tenant_id, role=Role(given.validated_data["role"])
        )
        return Response(MembershipSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=AccountReasonSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def remove(self, request: Request, pk: str) -> Response:
        """Take the role away; every process stops honouring it within a second."""
        reason = _reason(request)
        services.remove_membership(
            principal=principal_of(request), membership_id=self.get_object().pk, reason=reason
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


def _reason(request: Request) -> str:
    given = AccountReasonSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    return str(given.validated_data["reason"])
