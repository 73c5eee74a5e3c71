"""REST: identity providers, rules of sign-in, sessions, and people's second factors of one's tenant."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.access.rest import KeysetPagination
from governance.identity import selectors
from governance.identity.models import (
    IDLE_MINUTES,
    PEOPLE_ROLES,
    SESSION_HOURS,
    GroupMapping,
    IdentityPolicy,
    IdentityProvider,
    UserSession,
)
from governance.identity.services import factors, policy, providers, sessions
from governance.principals import Principal


class MappingSerializer(serializers.ModelSerializer[GroupMapping]):
    """Who is in this group at the provider has this role here."""

    role = serializers.ChoiceField(choices=PEOPLE_ROLES)

    class Meta:
        model = GroupMapping
        fields = ["value", "role"]


class IdentityProviderSerializer(serializers.ModelSerializer[IdentityProvider]):
    """A company's own sign-in. Its secret is never shown."""

    mappings = MappingSerializer(many=True)
    has_secret = serializers.SerializerMethodField()

    class Meta:
        model = IdentityProvider
        fields = [
            "id",
            "name",
            "issuer",
            "discovery_url",
            "client_id",
            "has_secret",
            "group_claim",
            "enabled",
            "internal_network",
            "mappings",
            "created_at",
        ]
        read_only_fields = fields

    def get_has_secret(self, provider: IdentityProvider) -> bool:
        """Whether a client secret is kept."""
        return bool(provider.sealed_secret)


class ProviderChangeSerializer(serializers.Serializer[Any]):
    """What may change of a provider. What is left out stays; `mappings` replaces all of them."""

    name = serializers.CharField(max_length=80, required=False)
    client_secret = serializers.CharField(
        max_length=500, required=False, write_only=True, trim_whitespace=False
    )
    group_claim = serializers.CharField(max_length=100, required=False)
    enabled = serializers.BooleanField(required=False)
    internal_network = serializers.BooleanField(required=False)
    mappings = MappingSerializer(many=True, required=False)


class NewProviderSerializer(serializers.Serializer[Any]):
    """A new provider. The discovery address may be left out where it is in the usual place below the issuer."""

    name = serializers.CharField(max_length=80)
    issuer = serializers.URLField(max_length=500)
    discovery_url = serializers.URLField(max_length=500, required=False)
    client_id = serializers.CharField(max_length=200)
    client_secret = serializers.CharField(
        max_length=500, required=False, write_only=True, trim_whitespace=False
    )
    group_claim = serializers.CharField(max_length=100, required=False)
    internal_network = serializers.BooleanField(required=False)
    mappings = MappingSerializer(many=True, required=False)


class IdentityProviderViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[IdentityProvider]
):
    """The identity providers of one's tenant."""

    decisions = {
        "list": "identity.provider.view",
        "retrieve": "identity.provider.view",
        "create": "identity.provider.manage",
        "partial_update": "identity.provider.manage",
    }
    queryset = IdentityProvider.objects.prefetch_related("mappings")
    serializer_class = IdentityProviderSerializer
    filterset_fields = ["enabled"]

    @extend_schema(request=NewProviderSerializer, responses={201: IdentityProviderSerializer})
    def create(self, request: Request) -> Response:
        """Add one. Nobody gets in before a group has a role."""
        given = NewProviderSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        made = providers.add_provider(
            principal=principal, tenant_id=_own(principal), **_pairs(given.validated_data)
        )
        return Response(IdentityProviderSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ProviderChangeSerializer, responses=IdentityProviderSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change it; the issuer stays, because accounts are known by it."""
        given = ProviderChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = providers.change_provider(
            principal=principal_of(request),
            provider_id=self.get_object().pk,
            **_pairs(given.validated_data),
        )
        return Response(IdentityProviderSerializer(selectors.providers(changed.tenant_id).get(pk=pk)).data)


class UserSessionSerializer(serializers.ModelSerializer[UserSession]):
    """An open session of a person who works in one's tenant."""

    username = serializers.CharField(source="user.username")

    class Meta:
        model = UserSession
        fields = [
            "id",
            "user",
            "username",
            "factor",
            "started_at",
            "last_seen_at",
            "valid_until",
            "network",
            "program",
        ]
        read_only_fields = fields


class EndSerializer(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class LatestFirst(KeysetPagination):
    """The latest sessions first."""

    ordering = "-started_at"


class UserSessionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[UserSession]
):
    """Who works in one's tenant now."""

    decisions = {
        "list": "identity.session.view",
        "retrieve": "identity.session.view",
        "end": "identity.session.end",
    }
    queryset = UserSession.open.select_related("user")
    serializer_class = UserSessionSerializer
    pagination_class = LatestFirst
    filterset_fields = ["user"]

    def get_queryset(self) -> QuerySet[UserSession]:
        """What is open now, not when the process started."""
        return UserSession.open.select_related("user")

    @extend_schema(request=EndSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """End it, within a second everywhere."""
        given = EndSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        sessions.end(principal=principal_of(request), session_id=self.get_object().pk, **given.validated_data)
        return Response(status=status.HTTP_204_NO_CONTENT)


class IdentityPolicySerializer(serializers.ModelSerializer[IdentityPolicy]):
    """What a tenant demands of sign-ins."""

    second_factor_roles = serializers.ListField(child=serializers.ChoiceField(choices=PEOPLE_ROLES))
    session_hours = serializers.IntegerField(min_value=SESSION_HOURS[0], max_value=SESSION_HOURS[1])
    idle_minutes = serializers.IntegerField(min_value=IDLE_MINUTES[0], max_value=IDLE_MINUTES[1])

    class Meta:
        model = IdentityPolicy
        fields = ["second_factor_roles", "session_hours", "idle_minutes"]


class IdentityPolicyView(APIView):
    """The sign-in rules of one's tenant."""

    decisions = {"get": "identity.policy.view", "put": "identity.policy.manage"}

    @extend_schema(responses=IdentityPolicySerializer, operation_id="identity_policy")
    def get(self, request: Request) -> Response:
        """The rules in force."""
        return Response(IdentityPolicySerializer(selectors.policy_of(_own(principal_of(request)))).data)

    @extend_schema(
        request=IdentityPolicySerializer,
        responses=IdentityPolicySerializer,
        operation_id="identity_policy_set",
    )
    def put(self, request: Request) -> Response:
        """Set them. Open sessions keep to them within a minute."""
        given = IdentityPolicySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        kept = policy.set_policy(principal=principal, tenant_id=_own(principal), **given.validated_data)
        return Response(IdentityPolicySerializer(kept).data)


class PersonFactorsSerializer(serializers.Serializer[Any]):
    """Somebody of the tenant: kinds of second factors, and open sessions here."""

    user = serializers.UUIDField(source="user.pk")
    username = serializers.CharField(source="user.username")
    roles = serializers.ListField(child=serializers.CharField())
    kinds = serializers.ListField(child=serializers.CharField())
    sessions = serializers.IntegerField()


class PeopleView(APIView):
    """How the people of one's tenant sign in."""

    decisions = {"get": "identity.session.view"}

    @extend_schema(responses=PersonFactorsSerializer(many=True), operation_id="identity_people")
    def get(self, request: Request) -> Response:
        """Everybody, by user name."""
        rows = selectors.people(_own(principal_of(request)))
        return Response(PersonFactorsSerializer(rows, many=True).data)


class ResetSerializer(serializers.Serializer[Any]):
    """Why the factors are taken away; kept with the change."""

    reason = serializers.CharField(max_length=200)


class ResetDoneSerializer(serializers.Serializer[Any]):
    """How many second factors there were."""

    removed = serializers.IntegerField()


class ResetFactorsView(APIView):
    """For somebody who has lost phone and key."""

    decisions = {"post": "identity.factor.reset"}

    @extend_schema(
        request=ResetSerializer, responses=ResetDoneSerializer, operation_id="identity_reset_factors"
    )
    def post(self, request: Request, user_id: UUID) -> Response:
        """Take all second factors away and end every session of the account."""
        given = ResetSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        removed = factors.reset(
            principal=principal, user_id=user_id, tenant_id=_own(principal), **given.validated_data
        )
        return Response({"removed": removed})


class EndedSerializer(serializers.Serializer[Any]):
    """How many sessions there were."""

    ended = serializers.IntegerField()


class EndSessionsView(APIView):
    """For a lost laptop, or somebody who is to sign in again."""

    decisions = {"post": "identity.session.end"}

    @extend_schema(request=EndSerializer, responses=EndedSerializer, operation_id="identity_end_sessions")
    def post(self, request: Request, user_id: UUID) -> Response:
        """End every session of the person that works in one's tenant, within a second."""
        given = EndSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        ended = sessions.end_of_person(
            principal=principal, user_id=user_id, tenant_id=_own(principal), **given.validated_data
        )
        return Response({"ended": ended})


def _own(principal: Principal) -> UUID:
    assert principal.tenant_id is not None
    return principal.tenant_id


def _pairs(given: dict[str, Any]) -> dict[str, Any]:
    """Mappings as the services take them."""
    if "mappings" in given:
        given = given | {"mappings": [(row["value"], row["role"]) for row in given["mappings"]]}
    return given
