"""REST: models and their versions."""

from __future__ import annotations

from typing import Any

from rest_framework import mixins, serializers, viewsets

from governance.access.requests import principal_of
from inference.registry.models import Model, ModelVersion
from inference.registry.selectors import visible_models, visible_versions


class ModelSerializer(serializers.ModelSerializer[Model]):
    """A model with the number of its versions."""

    version_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = Model
        fields = ["id", "name", "created_at", "version_count"]
        read_only_fields = fields


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """A version: its artifact's digest, its signature, its card and where it came from."""

    model = serializers.CharField(source="model.name", read_only=True)

    class Meta:
        model = ModelVersion
        fields = [
            "id", "model", "version", "state", "format", "sha256", "size_bytes", "inputs", "outputs", "card",
            "labels", "metrics", "source_type", "source_id", "source_digest", "source_label", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class ModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Model]):
    """The models of one's tenant."""

    decisions = {"list": "registry.model.view", "retrieve": "registry.model.view"}
    queryset = Model.objects.all()
    serializer_class = ModelSerializer
    filterset_fields = ["name"]

    def get_queryset(self) -> Any:
        return visible_models(principal_of(self.request))


class ModelVersionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ModelVersion]
):
    """The versions of one's tenant's models."""

    decisions = {"list": "registry.version.view", "retrieve": "registry.version.view"}
    queryset = ModelVersion.objects.all()
    serializer_class = ModelVersionSerializer
    filterset_fields = ["model__name", "version", "state", "sha256"]

    def get_queryset(self) -> Any:
        return visible_versions(principal_of(self.request))
