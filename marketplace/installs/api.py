"""REST: installing plugins and granting them rights."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.errors import NotFound
from marketplace.catalog.selectors import published_versions
from marketplace.installs import selectors, services
from marketplace.installs.models import Installation


class ProducedSerializer(serializers.Serializer[Any]):
    """Something that the installation gave the tenant."""

    kind = serializers.ChoiceField(choices=["model_version", "endpoint", "skill_version"])
    id = serializers.UUIDField()
    name = serializers.CharField()
    version = serializers.CharField()


class InstallationSerializer(serializers.ModelSerializer[Installation]):
    """A plugin in one's tenant: `version` was asked for last, `active_version` is in place."""

    plugin = serializers.CharField(source="plugin.slug", read_only=True)
    version = serializers.CharField(source="version.version", read_only=True)
    plugin_version_id = serializers.UUIDField(source="version_id", read_only=True)
    active_version = serializers.SerializerMethodField()
    state_label = serializers.CharField(source="get_state_display", read_only=True)
    grants = serializers.SerializerMethodField()
    produced = ProducedSerializer(many=True, read_only=True)

    class Meta:
        model = Installation
        fields = [
            "id",
            "plugin",
            "version",
            "plugin_version_id",
            "active_version",
            "state",
            "state_label",
            "state_changed_at",
            "created_at",
            "error",
            "reason",
            "grants",
            "produced",
        ]
        read_only_fields = fields

    def get_active_version(self, installation: Installation) -> str:
        return installation.active_version.version if installation.active_version else ""

    def get_grants(self, installation: Installation) -> list[str]:
        return selectors.granted(installation)


class InstallSerializer(serializers.Serializer[Any]):
    """Which version, and every right that it asks for, said again on purpose."""

    plugin_version = serializers.UUIDField()
    grants = serializers.ListField(child=serializers.CharField(max_length=400), default=list, max_length=500)


class UninstallSerializer(serializers.Serializer[Any]):
    """Why, if one wants to say."""

    reason = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")


class SuspendSerializer(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=4000)


class PermissionChangesSerializer(serializers.Serializer[Any]):
    """What another version asks for compared with what is granted now."""

    asked = serializers.ListField(child=serializers.CharField())
    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())


class InstallationViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Installation]):
    """What one's tenant has installed."""

    decisions = {
        "list": "installs.installation.view",
        "retrieve": "installs.installation.view",
        "changes": "installs.installation.view",
        "create": "installs.installation.install",
        "retry": "installs.installation.install",
        "upgrade": "installs.installation.upgrade",
        "suspend": "installs.installation.suspend",
        "uninstall": "installs.installation.uninstall",
    }
    queryset = Installation.objects.all()
    serializer_class = InstallationSerializer
    filterset_fields = {"state": ["exact"], "plugin__slug": ["exact"]}

    def get_queryset(self) -> QuerySet[Installation]:
        return selectors.installations()

    @extend_schema(responses=InstallationSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One installation: its state, and why if it failed."""
        found = selectors.get_installation(principal=principal_of(self.request), installation_id=_id(pk))
        return Response(InstallationSerializer(found).data)

    @extend_schema(request=InstallSerializer, responses={202: InstallationSerializer})
    def create(self, request: Request) -> Response:
        """Install a published version; the work runs in the background, so ask again for its state."""
        given = _valid(InstallSerializer, request)
        made = services.install(
            principal=principal_of(self.request),
            plugin_version_id=given["plugin_version"],
            grants=given["grants"],
        )
        return self._answer(made)

    @extend_schema(request=InstallSerializer, responses={202: InstallationSerializer})
    @action(detail=True, methods=["post"])
    def upgrade(self, request: Request, pk: str) -> Response:
        """Go to another version; its models wait beside the present ones for their share of the traffic."""
        given = _valid(InstallSerializer, request)
        changed = services.upgrade(
            principal=principal_of(self.request),
            installation_id=_id(pk),
            plugin_version_id=given["plugin_version"],
            grants=given["grants"],
        )
        return self._answer(changed)

    @extend_schema(
        parameters=[OpenApiParameter("plugin_version", OpenApiTypes.UUID, required=True)],
        responses=PermissionChangesSerializer,
    )
    @action(detail=True, methods=["get"])
    def changes(self, request: Request, pk: str) -> Response:
        """Which rights going to another version would add or remove."""
        found = selectors.get_installation(principal=principal_of(self.request), installation_id=_id(pk))
        wanted = _id(request.query_params.get("plugin_version", ""))
        version = published_versions().filter(pk=wanted, plugin_id=found.plugin_id).first()
        if version is None:
            raise NotFound(_("There is no such published version of this plugin."))
        return Response(PermissionChangesSerializer(selectors.permission_changes(found, version)).data)

    @extend_schema(request=None, responses={202: InstallationSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Try a failed installation again."""
        return self._answer(services.retry(principal=principal_of(self.request), installation_id=_id(pk)))

    @extend_schema(request=SuspendSerializer, responses={202: InstallationSerializer})
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Say that the plugin is not to be relied on now."""
        given = _valid(SuspendSerializer, request)
        return self._answer(
            services.suspend(principal=principal_of(self.request), installation_id=_id(pk), **given)
        )

    @extend_schema(request=UninstallSerializer, responses={202: InstallationSerializer})
    @action(detail=True, methods=["post"])
    def uninstall(self, request: Request, pk: str) -> Response:
        """Take the plugin and its rights away."""
        given = _valid(UninstallSerializer, request)
        return self._answer(
            services.uninstall(principal=principal_of(self.request), installation_id=_id(pk), **given)
        )

    def _answer(self, installation: Installation) -> Response:
        fresh = Installation.objects.select_related("plugin", "version", "active_version").get(
            pk=installation.pk
        )
        return Response(InstallationSerializer(fresh).data, status=status.HTTP_202_ACCEPTED)


def _id(value: str) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        return UUID(int=0)  # there is none with this id, so every look-up says “not found”


def _valid(serializer: Any, request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
