"""REST: who am I, and the OAuth 2.0 clients of one's tenant."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access import services
from governance.access.models import Application
from governance.access.requests import principal_of
from governance.access.scopes import SCOPES
from governance.principals import Principal, Role


class PrincipalSerializer(serializers.Serializer[Principal]):
    """The principal that the platform sees behind this request."""

    kind = serializers.CharField()
    name = serializers.CharField()
    tenant_id = serializers.UUIDField(allow_null=True)
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)


class MeView(APIView):
    """Who the platform takes the caller for."""

    decisions = {"get": "access.principal.view"}

    @extend_schema(responses=PrincipalSerializer, operation_id="me")
    def get(self, request: Request) -> Response:
        """The caller's tenant, roles and scopes."""
        principal = principal_of(request)
        return Response(
            {
                "kind": principal.kind,
                "name": principal.label,
                "tenant_id": principal.tenant_id,
                "roles": sorted(principal.roles),
                "scopes": None if principal.scopes is None else sorted(principal.scopes),
            }
        )


class ApplicationSerializer(serializers.ModelSerializer[Application]):
    """An OAuth 2.0 client. Its secret is shown once, when it is made."""

    class Meta:
        model = Application
        fields = ["id", "name", "client_id", "allowed_scopes", "disabled_at", "created"]
        read_only_fields = fields


class NewApplicationSerializer(serializers.Serializer[Any]):
    """What a client needs to be made. With the role `service` it can do only what it is granted object by object."""

    name = serializers.CharField(max_length=200)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=sorted(SCOPES)), allow_empty=False)
    role = serializers.ChoiceField(
        choices=[Role.SERVICE.value, Role.DEVELOPER.value, Role.PARTNER.value, Role.TENANT_ADMIN.value],
        default=Role.SERVICE.value,
    )


class ApplicationSecretSerializer(ApplicationSerializer):
    """The answer to making a client: the only time that its secret can be read."""

    client_secret = serializers.CharField(read_only=True)

    class Meta(ApplicationSerializer.Meta):
        fields = [*ApplicationSerializer.Meta.fields, "client_secret"]
        read_only_fields = fields


class ApplicationViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Application]
):
    """The OAuth 2.0 clients of one's tenant."""

    decisions = {
        "list": "access.application.view",
        "retrieve": "access.application.view",
        "create": "access.application.manage",
        "disable": "access.application.manage",
    }
    queryset = Application.objects.all()
    serializer_class = ApplicationSerializer
    filterset_fields = ["name"]

    @extend_schema(request=NewApplicationSerializer, responses={201: ApplicationSecretSerializer})
    def create(self, request: Request) -> Response:
        """Make a confidential client of the client-credentials grant."""
        given = NewApplicationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.create_application(
            principal=principal_of(request),
            name=given.validated_data["name"],
            scopes=given.validated_data["scopes"],
            role=Role(given.validated_data["role"]),
        )
        body = ApplicationSerializer(made.application).data | {"client_secret": made.client_secret}
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ApplicationSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Stop a client for good: its tokens are refused everywhere within a second."""
        application = services.disable_application(
            principal=principal_of(request),
            application_id=self.get_object().id,
        )
        return Response(ApplicationSerializer(application).data)
