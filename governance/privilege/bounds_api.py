"""REST: a tenant's bounds of rights, and who may break the glass there."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.principals import Role
from governance.privilege import selectors, services
from governance.privilege.models import BreakGlassHolder, PrivilegeSettings
from governance.privilege.views import own_tenant

ROLES = sorted(role.value for role in Role if role not in (Role.SYSTEM, Role.SERVICE))


class HolderSerializer(serializers.ModelSerializer[BreakGlassHolder]):
    """Somebody who was named in advance for emergencies, and for which role."""

    username = serializers.CharField(source="person.username", read_only=True)

    class Meta:
        model = BreakGlassHolder
        fields = ["id", "person", "username", "role", "named_at"]
        read_only_fields = fields


class NewHolderSerializer(serializers.Serializer[Any]):
    """Who may break the glass, for which role."""

    person = serializers.UUIDField()
    role = serializers.ChoiceField(choices=ROLES)


class HolderViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BreakGlassHolder]
):
    """Who may break the glass in one's tenant."""

    decisions = {
        "list": "privilege.settings.manage",
        "retrieve": "privilege.settings.manage",
        "create": "privilege.settings.manage",
        "destroy": "privilege.settings.manage",
    }
    queryset = BreakGlassHolder.objects.none()
    serializer_class = HolderSerializer
    filterset_fields = ["person", "role"]

    def get_queryset(self) -> QuerySet[BreakGlassHolder]:
        return selectors.holders(own_tenant(principal_of(self.request)))

    @extend_schema(request=NewHolderSerializer, responses={201: HolderSerializer})
    def create(self, request: Request) -> Response:
        """Name a member of the tenant for emergency access; naming twice changes nothing."""
        given = NewHolderSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        holder = services.name_holder(
            principal=principal,
            tenant_id=own_tenant(principal),
            person_id=given.validated_data["person"],
            role=Role(given.validated_data["role"]),
        )
        return Response(HolderSerializer(holder).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """Nobody breaks the glass under this name any more."""
        services.remove_holder(principal=principal_of(request), holder_id=self.get_object().pk)
        return Response(status=status.HTTP_204_NO_CONTENT)


class BoundsSerializer(serializers.ModelSerializer[PrivilegeSettings]):
    """When a right counts as unused, and how long elevations and emergency access last at most."""

    class Meta:
        model = PrivilegeSettings
        fields = ["unused_after_days", "max_elevation_minutes", "break_glass_minutes"]
        extra_kwargs = {
            "unused_after_days": {"required": True},
            "max_elevation_minutes": {"required": True},
            "break_glass_minutes": {"required": True},
        }


class BoundsView(APIView):
    """The bounds of rights in one's tenant."""

    decisions = {"get": "privilege.settings.manage", "put": "privilege.settings.manage"}

    @extend_schema(responses=BoundsSerializer, operation_id="rights_bounds")
    def get(self, request: Request) -> Response:
        """The bounds in force."""
        principal = principal_of(request)
        tenant_id = own_tenant(principal)
        require(principal, "privilege.settings.manage", tenant_id=tenant_id)
        return Response(BoundsSerializer(selectors.settings_of(tenant_id)).data)

    @extend_schema(request=BoundsSerializer, responses=BoundsSerializer, operation_id="rights_bounds_set")
    def put(self, request: Request) -> Response:
        """Set them, all three."""
        given = BoundsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        kept = services.save_settings(
            principal=principal, tenant_id=own_tenant(principal), **given.validated_data
        )
        return Response(BoundsSerializer(kept).data)
