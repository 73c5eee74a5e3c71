"""REST: how far an endpoint's versions have moved from what they were trained on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from inference.registry.models import TrainingReference
from inference.rollouts.reference_drift import HOURS, endpoint_drift, longest_hours
from inference.rollouts.selectors import visible_endpoints


class DistanceSerializer(serializers.Serializer[Any]):
    """The Kolmogorov-Smirnov distance at the edges of the bins, with its p-value: a test for one look."""

    distance = serializers.FloatField()
    p_value = serializers.FloatField()


class PartDriftSerializer(serializers.Serializer[Any]):
    """An input's feature, the predicted classes or the confidence, against the reference.

    `index` is the population stability index and `noise` what chance alone makes of it; both are empty while there are
    no values. With fewer values than are `enough` the index says more about chance than about drift.
    """

    part = serializers.CharField(help_text="input, drift_prediction or drift_confidence")
    name = serializers.CharField()
    count = serializers.IntegerField()
    not_numbers = serializers.IntegerField(help_text="Values that were no finite numbers, beside the others.")
    enough = serializers.BooleanField()
    index = serializers.FloatField(source="drift.index", allow_null=True, default=None)
    noise = serializers.FloatField(source="drift.noise", allow_null=True, default=None)
    band = serializers.CharField(source="drift.band", allow_null=True, default=None)
    distance = DistanceSerializer(allow_null=True, default=None)
    reference_count = serializers.IntegerField(source="reference.total")


class ReferenceStateSerializer(serializers.ModelSerializer[TrainingReference]):
    """The version's training reference. `revision` is empty until the first one is made."""

    class Meta:
        model = TrainingReference
        fields = ["state", "error", "revision", "row_count", "source_digest", "source_label", "made_at"]
        read_only_fields = fields


class VersionDriftSerializer(serializers.Serializer[Any]):
    """One version; without a reference there are no parts."""

    version_id = serializers.UUIDField(source="version.id")
    version = serializers.CharField(source="version.version")
    reference = ReferenceStateSerializer(allow_null=True)
    parts = PartDriftSerializer(many=True)


class HoursSerializer(serializers.Serializer[Any]):
    """Over how many hours until now."""

    hours = serializers.FloatField(min_value=0.1, default=HOURS)

    def validate_hours(self, value: float) -> float:
        """Nothing is kept for longer than outcome records are."""
        return min(value, longest_hours())


class EndpointDriftView(APIView):
    """Drift of the inputs and the predictions of an endpoint's versions against their training references."""

    decisions = {"get": "rollouts.endpoint.view"}

    @extend_schema(
        parameters=[
            OpenApiParameter("hours", float, description="Over how many hours until now; 24 without it.")
        ],
        responses=VersionDriftSerializer(many=True),
        operation_id="endpoints_drift",
    )
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """Stability index with its noise and binned Kolmogorov-Smirnov distance, by version and feature."""
        endpoint = get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
        given = HoursSerializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        found: Any = endpoint_drift(endpoint, hours=given.validated_data["hours"])
        return Response(VersionDriftSerializer(found, many=True).data)
