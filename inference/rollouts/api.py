"""REST: endpoints, their traffic split, its history, and who may call them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from inference.rollouts import services
from inference.rollouts.figures import version_figures
from inference.rollouts.models import (
    MAX_OBJECTIVE_MS,
    MIN_OBJECTIVE_MS,
    Endpoint,
    EndpointArm,
    SplitChange,
)
from inference.rollouts.objectives import set_objective
from inference.rollouts.routing_rules import rules_of, set_routing
from inference.rollouts.selectors import visible_endpoints

DEFAULT_WINDOW_S = 300
MAX_WINDOW_S = 24 * 3600


class ArmSerializer(serializers.ModelSerializer[EndpointArm]):
    """A version behind an endpoint and its share in percent."""

    version = serializers.CharField(source="model_version.version", read_only=True)

    class Meta:
        model = EndpointArm
        fields = ["version", "weight"]
        read_only_fields = fields


class EndpointSerializer(serializers.ModelSerializer[Endpoint]):
    """An endpoint and its split."""

    model = serializers.CharField(source="model.name", read_only=True)
    split = ArmSerializer(source="arms", many=True, read_only=True)

    class Meta:
        model = Endpoint
        fields = [
            "id", "name", "model", "split", "latency_objective_ms", "split_changed_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class FiguresSerializer(serializers.Serializer[Any]):
    """What one version did in the window. `share` is the percent of the requests that it really answered."""

    version = serializers.CharField(allow_null=True)
    requests = serializers.IntegerField()
    per_second = serializers.FloatField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    refused = serializers.IntegerField()
    error_percent = serializers.FloatField()
    share = serializers.FloatField()
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)


class CohortSerializer(serializers.Serializer[Any]):
    """Callers that one version answers: who sends the cohort's name in X-OpenClaw-Cohort, and who is listed."""

    name = serializers.CharField(max_length=64)
    version = serializers.CharField(max_length=64)
    members = serializers.ListField(
        child=serializers.CharField(max_length=128),
        max_length=200,
        default=list,
        help_text="Callers or sessions.",
    )


class ShadowSerializer(serializers.Serializer[Any]):
    """A version that computes a share of the requests once more, behind the answers."""

    version = serializers.CharField(max_length=64)
    percent = serializers.IntegerField(min_value=1, max_value=100)


class RoutingSerializer(serializers.Serializer[Any]):
    """All rules beside the split."""

    cohorts = CohortSerializer(many=True, default=list)
    shadows = ShadowSerializer(many=True, default=list)


class NewRoutingSerializer(RoutingSerializer):
    """The rules as they shall be, all of them."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)


class EndpointDetailSerializer(EndpointSerializer):
    """An endpoint with the figures of the last minutes (`window_s` in the query, default 300)."""

    metrics = serializers.SerializerMethodField()
    routing = serializers.SerializerMethodField()

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "routing", "metrics"]
        read_only_fields = fields

    @extend_schema_field(RoutingSerializer)
    def get_routing(self, endpoint: Endpoint) -> dict[str, Any]:
        return rules_of(endpoint)

    @extend_schema_field(FiguresSerializer(many=True))
    def get_metrics(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        figures = version_figures([endpoint.id], window=timedelta(seconds=self.context["window_s"]))
        names = {arm.model_version_id: arm.model_version.version for arm in endpoint.arms.all()}
        total = sum(f.requests for f in figures if f.version_id)
        return [
            asdict(f)
            | {
                "version": names.get(f.version_id, str(f.version_id)) if f.version_id else None,
                "per_second": f.per_second,
                "error_percent": f.error_percent,
                "share": round(100 * f.requests / total, 2) if f.version_id else 0.0,
            }
            for f in figures
        ]


class NewSplitSerializer(serializers.Serializer[Any]):
    """Whole percents by version; they must sum to 100."""

    weights = serializers.DictField(child=serializers.IntegerField(min_value=0, max_value=100))
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)


class RollBackSerializer(serializers.Serializer[Any]):
    """Why, and (to be safe against a second click) which change is to be taken back."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)
    expected_change_id = serializers.UUIDField(required=False, allow_null=True, default=None)


class NewObjectiveSerializer(serializers.Serializer[Any]):
    """How long a request may wait for its turn; null: as in the whole installation."""

    latency_objective_ms = serializers.IntegerField(
        allow_null=True, min_value=MIN_OBJECTIVE_MS, max_value=MAX_OBJECTIVE_MS
    )
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)


class SplitChangeSerializer(serializers.ModelSerializer[SplitChange]):
    """One step of an endpoint's history."""

    class Meta:
        model = SplitChange
        fields = ["id", "kind", "before", "after", "undoes", "rollout", "actor_label", "reason", "at"]
        read_only_fields = fields


class NewEndpointSerializer(serializers.Serializer[Any]):
    """What an endpoint needs to be made."""

    name = serializers.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    model_version_id = serializers.UUIDField()


class EndpointViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Endpoint]):
    """The endpoints of one's tenant."""

    decisions = {
        "list": "rollouts.endpoint.view",
        "retrieve": "rollouts.endpoint.view",
        "create": "rollouts.endpoint.create",
        "split": "rollouts.endpoint.split",
        "rollback": "rollouts.endpoint.split",
        "routing": "rollouts.endpoint.split",
        "objective": "rollouts.endpoint.split",
        "changes": "rollouts.endpoint.view",
    }
    queryset = Endpoint.objects.all()
    serializer_class = EndpointSerializer
    filterset_fields = ["name"]
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> Any:
        return visible_endpoints(principal_of(self.request))

    @extend_schema(responses=EndpointDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One endpoint with the figures of its versions."""
        return self._detail(self.get_object())

    @extend_schema(request=NewEndpointSerializer, responses={201: EndpointSerializer})
    def create(self, request: Request) -> Response:
        """A new endpoint that sends everything to one ready version."""
        given = NewEndpointSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.create_endpoint(principal=principal_of(request), **given.validated_data)
        body = EndpointSerializer(self.get_queryset().get(pk=made.pk)).data
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=NewSplitSerializer, responses=EndpointDetailSerializer)
    @action(detail=True, methods=["post"])
    def split(self, request: Request, pk: str) -> Response:
        """Move traffic between versions."""
        given = NewSplitSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        services.set_split(
            principal=principal_of(request), endpoint_id=self.get_object().id, **given.validated_data
        )
        return self._detail(self.get_object())

    @extend_schema(request=RollBackSerializer, responses=EndpointDetailSerializer)
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        """Restore the split from before the last change."""
        given = RollBackSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        services.roll_back(
            principal=principal_of(request), endpoint_id=self.get_object().id, **given.validated_data
        )
        return self._detail(self.get_object())

    @extend_schema(request=NewRoutingSerializer, responses=EndpointDetailSerializer)
    @action(detail=True, methods=["post"])
    def routing(self, request: Request, pk: str) -> Response:
        """Set the rules beside the split: cohorts and shadow versions."""
        given = NewRoutingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        set_routing(principal=principal_of(request), endpoint_id=self.get_object().id, **given.validated_data)
        return self._detail(self.get_object())

    @extend_schema(request=NewObjectiveSerializer, responses=EndpointDetailSerializer)
    @action(detail=True, methods=["post"])
    def objective(self, request: Request, pk: str) -> Response:
        """Set the latency objective in milliseconds, or null for that of the installation."""
        given = NewObjectiveSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        set_objective(
            principal=principal_of(request), endpoint_id=self.get_object().id, **given.validated_data
        )
        return self._detail(self.get_object())

    @extend_schema(responses=SplitChangeSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_fields=[])
    def changes(self, request: Request, pk: str) -> Response:
        """The history of the split, newest first."""
        history: Any = self.get_object().changes.all()
        page: Any = self.paginate_queryset(history)
        return self.get_paginated_response(SplitChangeSerializer(page, many=True).data)

    def _detail(self, endpoint: Endpoint) -> Response:
        asked = self.request.query_params.get("window_s", "")
        window_s = int(asked) if asked.isdecimal() and len(asked) < 7 else DEFAULT_WINDOW_S
        context = {"window_s": min(max(window_s, 10), MAX_WINDOW_S)}
        return Response(EndpointDetailSerializer(endpoint, context=context).data)


class EndpointGrantView(APIView):
    """Which OAuth 2.0 clients may call an endpoint."""

    decisions = {"put": "access.grant.manage", "delete": "access.grant.manage"}

    @extend_schema(request=None, responses={204: None}, operation_id="endpoints_grant")
    def put(self, request: Request, endpoint_id: UUID, application_id: UUID) -> Response:
        """Let the application call the endpoint."""
        endpoint = get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
        services.grant_invoke(
            principal=principal_of(request), endpoint_id=endpoint.id, application_id=application_id
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses={204: None}, operation_id="endpoints_revoke")
    def delete(self, request: Request, endpoint_id: UUID, application_id: UUID) -> Response:
        """Take the right away; it stops working within a second."""
        endpoint = get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
        services.revoke_invoke(
            principal=principal_of(request), endpoint_id=endpoint.id, application_id=application_id
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
