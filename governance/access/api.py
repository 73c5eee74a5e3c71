"""REST: who am I, and the OAuth 2.0 clients of one's tenant."""

from __future__ import annotations

import time
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access import services
from governance.access.assurance import assurance
from governance.access.challenges import acr_of
from governance.access.models import Application
from governance.access.requests import principal_of
from governance.access.scopes import SCOPES
from governance.principals import Device, Factor, Principal, Role


class AssuranceSerializer(serializers.Serializer[Any]):
    """How sure the platform is of who asks, from 0 to 3 (after NIST SP 800-63B), and what lowered it."""

    level = serializers.IntegerField(min_value=0, max_value=3)
    acr = serializers.CharField(help_text="The level as an authentication context class.")
    reasons = serializers.ListField(child=serializers.CharField())
    factor = serializers.ChoiceField(choices=[factor.value for factor in Factor])
    factor_age_s = serializers.IntegerField(allow_null=True, help_text="Seconds since the factor was shown.")
    bound = serializers.BooleanField(help_text="Whether the token works with its key only (RFC 9449).")
    device = serializers.ChoiceField(choices=[device.value for device in Device])


class PrincipalSerializer(serializers.Serializer[Principal]):
    """The principal that the platform sees behind this request."""

    kind = serializers.CharField()
    name = serializers.CharField()
    tenant_id = serializers.UUIDField(allow_null=True)
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    assurance = AssuranceSerializer()


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
                "assurance": _assurance_of(principal),
            }
        )


def _assurance_of(principal: Principal) -> dict[str, Any]:
    found, signals = assurance(principal), principal.signals
    return {
        "level": found.level,
        "acr": acr_of(found.level),
        "reasons": list(found.reasons),
        "factor": signals.factor.value,
        "factor_age_s": int(time.time() - signals.factor_at) if signals.factor_at else None,
        "bound": signals.bound,
        "device": signals.device.value,
    }


class ApplicationSerializer(serializers.ModelSerializer[Application]):
    """An OAuth 2.0 client. Its secret is shown once, when it is made."""

    class Meta:
        model = Application
        fields = [
            "id",
            "name",
            "client_id",
            "client_type",
            "redirect_uris",
            "allowed_scopes",
            "require_dpop",
            "disabled_at",
            "created",
        ]
        read_only_fields = fields


class NewApplicationSerializer(serializers.Serializer[Any]):
    """What a client needs to be made. With the role `service` it can do only what it is granted object by object."""

    name = serializers.CharField(max_length=200)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=sorted(SCOPES)), allow_empty=False)
    role = serializers.ChoiceField(
        choices=[Role.SERVICE.value, Role.DEVELOPER.value, Role.PARTNER.value, Role.TENANT_ADMIN.value],
        default=Role.SERVICE.value,
    )
    redirect_uris = serializers.ListField(
        child=serializers.CharField(max_length=500),
        default=list,
        max_length=20,
        help_text="Makes it a client of the authorisation-code grant, which acts for people.",
    )
    public = serializers.BooleanField(default=False, help_text="It cannot keep a secret.")
    require_dpop = serializers.BooleanField(
        default=False, help_text="It gets tokens only with a DPoP proof (RFC 9449)."
    )


class RequireDpopSerializer(serializers.Serializer[Any]):
    """Whether a client's tokens must be bound to a key."""

    require_dpop = serializers.BooleanField()


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
        "require_dpop": "access.application.manage",
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
            redirect_uris=given.validated_data["redirect_uris"],
            public=given.validated_data["public"],
            require_dpop=given.validated_data["require_dpop"],
        )
        body = ApplicationSerializer(made.application).data | {"client_secret": made.client_secret}
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=RequireDpopSerializer, responses=ApplicationSerializer)
    @action(detail=True, methods=["post"], url_path="require-dpop")
    def require_dpop(self, request: Request, pk: str) -> Response:
        """Give a client tokens only that are bound to a key, from now on; its bearer tokens end."""
        given = RequireDpopSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        application = services.set_require_dpop(
            principal=principal_of(request),
            application_id=self.get_object().id,
            required=given.validated_data["require_dpop"],
        )
        return Response(ApplicationSerializer(application).data)

    @extend_schema(request=None, responses=ApplicationSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Stop a client for good: its tokens are refused everywhere within a second."""
        application = services.disable_application(
            principal=principal_of(request),
            application_id=self.get_object().id,
        )
        return Response(ApplicationSerializer(application).data)
