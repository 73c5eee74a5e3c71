"""REST: the catalogue, and becoming a partner."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_ratelimit.core import is_ratelimited
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.tenants.models import User
from marketplace.catalog import partners, selectors, services
from marketplace.catalog.models import Partner, PartnerApplication, Plugin, PluginVersion


class PartnerSerializer(serializers.ModelSerializer[Partner]):
    """Who publishes it."""

    class Meta:
        model = Partner
        fields = ["id", "slug", "display_name", "website", "verified", "created_at"]
        read_only_fields = fields


class PluginVersionSerializer(serializers.ModelSerializer[PluginVersion]):
    """One version: what it asks for, its risk and why, and its name in the signed repository."""

    plugin_name = serializers.CharField(source="plugin.slug", read_only=True)
    partner = PartnerSerializer(source="plugin.partner", read_only=True)

    class Meta:
        model = PluginVersion
        fields = [
            "id",
            "plugin_name",
            "partner",
            "version",
            "state",
            "sha256",
            "size_bytes",
            "purpose",
            "permissions",
            "risk_level",
            "risk_reasons",
            "manifest",
            "approvals",
            "target_path",
            "created_at",
            "published_at",
            "blocked_at",
            "blocked_reason",
        ]
        read_only_fields = fields


class PluginSerializer(serializers.ModelSerializer[Plugin]):
    """A plugin in the catalogue with its newest published version."""

    partner = PartnerSerializer(read_only=True)
    latest_version = serializers.SerializerMethodField()
    versions = serializers.SerializerMethodField()

    class Meta:
        model = Plugin
        fields = ["id", "slug", "description", "partner", "created_at", "latest_version", "versions"]
        read_only_fields = fields

    def get_latest_version(self, plugin: Plugin) -> str:
        published = self._published(plugin)
        return published[0].version if published else ""

    def get_versions(self, plugin: Plugin) -> list[str]:
        return [version.version for version in self._published(plugin)]

    def _published(self, plugin: Plugin) -> list[PluginVersion]:
        return plugin.published  # type: ignore[attr-defined]


class BlockSerializer(serializers.Serializer[Any]):
    """Why; everybody who installed it will read it."""

    reason = serializers.CharField(max_length=4000)


class PluginViewSet(viewsets.ReadOnlyModelViewSet[Plugin]):
    """The catalogue: plugins that every organisation can install."""

    decisions = {"list": "catalog.plugin.view", "retrieve": "catalog.plugin.view"}
    queryset = Plugin.objects.all()
    serializer_class = PluginSerializer
    lookup_field = "slug"
    lookup_value_regex = "[a-z0-9.-]+"

    def get_queryset(self) -> QuerySet[Plugin]:
        return selectors.catalogue(search=self.request.query_params.get("search", "")[:200])

    @extend_schema(
        parameters=[OpenApiParameter("search", OpenApiTypes.STR, description="Words to look for.")]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Search the catalogue."""
        return super().list(request, *args, **kwargs)


class PluginVersionViewSet(viewsets.ReadOnlyModelViewSet[PluginVersion]):
    """Versions: the published ones, and every one of one's own."""

    decisions = {
        "list": "catalog.plugin.view",
        "retrieve": "catalog.plugin.view",
        "block": "catalog.version.block",
    }
    queryset = PluginVersion.objects.select_related("plugin__partner")
    serializer_class = PluginVersionSerializer
    filterset_fields = {"state": ["exact"], "plugin__slug": ["exact"], "version": ["exact"]}

    @extend_schema(request=BlockSerializer, responses=PluginVersionSerializer)
    @action(detail=True, methods=["post"])
    def block(self, request: Request, pk: str) -> Response:
        """Take a version out of circulation; its installations are suspended."""
        given = BlockSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        version = services.block_version(
            principal=principal_of(request),
            version_id=self.get_object().id,
            **given.validated_data,
        )
        return Response(PluginVersionSerializer(version).data)


class PartnerApplicationSerializer(serializers.ModelSerializer[PartnerApplication]):
    """A wish to become a partner."""

    applicant = serializers.CharField(source="applicant.username", read_only=True)

    class Meta:
        model = PartnerApplication
        fields = [
            "id",
            "applicant",
            "slug",
            "name",
            "website",
            "contact_email",
            "about",
            "state",
            "applied_at",
            "decided_at",
            "reason",
        ]
        read_only_fields = fields


class SignUpSerializer(serializers.Serializer[Any]):
    """Sign up as a partner. `username` and `password` are for people without an account."""

    slug = serializers.SlugField(max_length=63)
    name = serializers.CharField(max_length=200)
    website = serializers.URLField(max_length=400, required=False, allow_blank=True, default="")
    contact_email = serializers.EmailField(required=False, allow_blank=True, default="")
    about = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    username = serializers.RegexField(r"^[\w.@+-]+$", max_length=150, required=False, default="")
    password = serializers.CharField(
        max_length=200, required=False, default="", trim_whitespace=False, write_only=True
    )


class ApplicationDecisionSerializer(serializers.Serializer[Any]):
    """Accept or refuse; a refusal needs a reason."""

    accept = serializers.BooleanField()
    reason = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")


class PartnerApplicationViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PartnerApplication]
):
    """Applications to become a partner."""

    decisions = {
        "list": "catalog.application.view",
        "retrieve": "catalog.application.view",
        "create": "catalog.application.apply",
        "decide": "catalog.application.decide",
    }
    queryset = PartnerApplication.objects.select_related("applicant")
    serializer_class = PartnerApplicationSerializer
    filterset_fields = ["state"]

    @extend_schema(request=SignUpSerializer, responses={201: PartnerApplicationSerializer})
    def create(self, request: Request) -> Response:
        """Apply, signed in or with a new account, which can do nothing until the platform accepts."""
        principal = principal_of(request)
        if is_ratelimited(
            request._request,
            group="partner-sign-up",
            key="ip",
            rate=settings.PARTNER_SIGN_UP_RATE,
            increment=True,
        ):
            raise exceptions.Throttled(wait=3600, detail=_("Too many applications from this address."))
        given = SignUpSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = request._request.user
        application = partners.apply_as_partner(
            principal=principal,
            user=user if isinstance(user, User) and user.is_authenticated else None,
            **given.validated_data,
        )
        return Response(PartnerApplicationSerializer(application).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ApplicationDecisionSerializer, responses=PartnerApplicationSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Accept (a partner tenant is made) or refuse."""
        given = ApplicationDecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        application = partners.decide_application(
            principal=principal_of(request),
            application_id=self.get_object().id,
            **given.validated_data,
        )
        return Response(PartnerApplicationSerializer(application).data)
