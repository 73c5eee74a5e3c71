"""REST: the access review, unused rights, elevations and emergency access."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.principals import Role
from governance.privilege import removing, selectors, services
from governance.privilege.models import Elevation, RemovalProposal, RightKind
from governance.privilege.things import find_thing
from governance.privilege.views import own_tenant

ROLES = sorted(role.value for role in Role if role not in (Role.SYSTEM, Role.SERVICE))


class RightSerializer(serializers.Serializer[Any]):
    """One right of one account. `count` and `last_used_at` are its use since `watched_since`."""

    account_id = serializers.UUIDField(source="account.id")
    account = serializers.CharField(source="account.username")
    kind = serializers.ChoiceField(choices=RightKind.choices)
    name = serializers.CharField()
    object_type = serializers.CharField()
    object_id = serializers.CharField()
    object_label = serializers.CharField()
    count = serializers.IntegerField()
    watched_since = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)


class RemovalSerializer(serializers.Serializer[Any]):
    """A right to take away, and why."""

    account_id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=RightKind.choices)
    name = serializers.CharField(max_length=100)
    object_id = serializers.CharField(max_length=100, allow_blank=True, default="")
    reason = serializers.CharField(max_length=2000)


class AccessReviewView(APIView):
    """Who has what in one's tenant, with its use."""

    decisions = {"get": "privilege.right.view", "post": "privilege.right.remove"}

    @extend_schema(
        responses=RightSerializer(many=True),
        operation_id="access_review",
        parameters=[
            OpenApiParameter("account", OpenApiTypes.UUID, description="Of this account only"),
            OpenApiParameter(
                "object", OpenApiTypes.STR, description="Grants on the object with this id only"
            ),
            OpenApiParameter(
                "thing",
                OpenApiTypes.STR,
                description="What lets somebody use this thing, by grant or role: `rollouts.endpoint:` and its id",
            ),
        ],
    )
    def get(self, request: Request) -> Response:
        """By person or by object."""
        principal = principal_of(request)
        tenant_id = own_tenant(principal)
        require(principal, "privilege.right.view", tenant_id=tenant_id)
        account = request.query_params.get("account")
        wanted = serializers.UUIDField().to_internal_value(account) if account else None
        found = selectors.rights(
            tenant_id,
            account_ids=[wanted] if wanted else None,
            object_id=request.query_params.get("object", ""),
            thing=find_thing(tenant_id, key) if (key := request.query_params.get("thing")) else None,
        )
        return Response(RightSerializer(found, many=True).data)

    @extend_schema(request=RemovalSerializer, responses={204: None}, operation_id="access_review_remove")
    def post(self, request: Request) -> Response:
        """Take one right away; every process stops honouring it within a second."""
        given = RemovalSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        values = given.validated_data | {"kind": RightKind(given.validated_data["kind"])}
        removing.remove_right(principal=principal, tenant_id=own_tenant(principal), **values)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RemovalProposalSerializer(serializers.ModelSerializer[RemovalProposal]):
    """A right that nobody used for the tenant's time."""

    account = serializers.CharField(source="account.username")

    class Meta:
        model = RemovalProposal
        fields = [
            "id",
            "account",
            "kind",
            "name",
            "object_id",
            "object_label",
            "unused_since",
            "proposed_at",
            "state",
            "decided_at",
            "reason",
        ]
        read_only_fields = fields


class ProposalDecisionSerializer(serializers.Serializer[Any]):
    """Remove the right or keep it, and why."""

    remove = serializers.BooleanField()
    reason = serializers.CharField(max_length=2000)


class RemovalProposalViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RemovalProposal]
):
    """Rights proposed for removal."""

    decisions = {
        "list": "privilege.right.view",
        "retrieve": "privilege.right.view",
        "decide": "privilege.right.remove",
    }
    queryset = RemovalProposal.objects.select_related("account")
    serializer_class = RemovalProposalSerializer
    filterset_fields = ["state", "kind"]

    @extend_schema(request=ProposalDecisionSerializer, responses=RemovalProposalSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Remove or keep."""
        given = ProposalDecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        proposal = removing.decide_proposal(
            principal=principal_of(request), proposal_id=self.get_object().id, **given.validated_data
        )
        return Response(RemovalProposalSerializer(proposal).data)


class ElevationSerializer(serializers.ModelSerializer[Elevation]):
    """More rights for a while."""

    person = serializers.CharField(source="person.username")

    class Meta:
        model = Elevation
        fields = [
            "id",
            "person",
            "role",
            "reason",
            "minutes",
            "break_glass",
            "state",
            "requested_at",
            "decided_at",
            "decision_reason",
            "starts_at",
            "ends_at",
            "reviewed_at",
            "review",
        ]
        read_only_fields = fields


class ElevationRequestSerializer(serializers.Serializer[Any]):
    """The role, for how long, and what for."""

    role = serializers.ChoiceField(choices=ROLES)
    minutes = serializers.IntegerField(min_value=1, max_value=1440)
    reason = serializers.CharField(min_length=10, max_length=2000)


class BreakGlassSerializer(serializers.Serializer[Any]):
    """The role that the emergency needs."""

    role = serializers.ChoiceField(choices=ROLES)
    reason = serializers.CharField(min_length=10, max_length=2000)


class ElevationDecisionSerializer(serializers.Serializer[Any]):
    """Approve or refuse, with a reason."""

    approve = serializers.BooleanField()
    reason = serializers.CharField(max_length=2000)


class ReviewSerializer(serializers.Serializer[Any]):
    """What was found about an emergency."""

    review = serializers.CharField(min_length=10, max_length=4000)


class ElevationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Elevation]):
    """One's own elevations; everybody's for administrators of the tenant."""

    decisions = {
        "list": "privilege.elevation.view",
        "retrieve": "privilege.elevation.view",
        "create": "privilege.elevation.request",
        "decide": "privilege.elevation.decide",
        "withdraw": "privilege.elevation.request",
        "end": "privilege.elevation.request",
        "break_glass": "privilege.glass.break",
        "review": "privilege.glass.review",
    }
    queryset = Elevation.objects.none()
    serializer_class = ElevationSerializer
    filterset_fields = ["state", "break_glass"]

    def get_queryset(self) -> Any:
        principal = principal_of(self.request)
        tenant_id = own_tenant(principal)
        sees_all = decide(principal, "privilege.right.view", tenant_id=tenant_id).allow
        return selectors.elevations(
            tenant_id=tenant_id, person_id=None if sees_all else principal.accountable_user_id
        )

    @extend_schema(request=ElevationRequestSerializer, responses={201: ElevationSerializer})
    def create(self, request: Request) -> Response:
        """Ask for a role for a while."""
        given = ElevationRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data | {"role": Role(given.validated_data["role"])}
        return _made(services.request_elevation(principal=principal_of(request), **values))

    @extend_schema(request=BreakGlassSerializer, responses={201: ElevationSerializer})
    @action(detail=False, methods=["post"], url_path="break-glass")
    def break_glass(self, request: Request) -> Response:
        """Emergency access at once, for people named in advance, with two fresh factors."""
        given = BreakGlassSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        role, reason = Role(given.validated_data["role"]), given.validated_data["reason"]
        return _made(services.break_glass(principal=principal_of(request), role=role, reason=reason))

    @extend_schema(request=ElevationDecisionSerializer, responses=ElevationSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Approve (it begins at once) or refuse."""
        given = ElevationDecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        elevation = services.decide_elevation(
            principal=principal_of(request), elevation_id=self._id(), **given.validated_data
        )
        return Response(ElevationSerializer(elevation).data)

    @extend_schema(request=None, responses=ElevationSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take back a request of one's own."""
        elevation = services.withdraw_elevation(principal=principal_of(request), elevation_id=self._id())
        return Response(ElevationSerializer(elevation).data)

    @extend_schema(request=None, responses=ElevationSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """End it before its time."""
        elevation = services.end_elevation(principal=principal_of(request), elevation_id=self._id())
        return Response(ElevationSerializer(elevation).data)

    @extend_schema(request=ReviewSerializer, responses=ElevationSerializer)
    @action(detail=True, methods=["post"])
    def review(self, request: Request, pk: str) -> Response:
        """Review an emergency access that is over."""
        given = ReviewSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        elevation = services.review_break_glass(
            principal=principal_of(request), elevation_id=self._id(), **given.validated_data
        )
        return Response(ElevationSerializer(elevation).data)

    def _id(self) -> UUID:
        return UUID(str(self.get_object().pk))


def _made(elevation: Elevation) -> Response:
    return Response(ElevationSerializer(elevation).data, status=status.HTTP_201_CREATED)
