"""REST: an endpoint's measurements, and the estimate of another split."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from inference.rollouts.feedback_api import EstimateSerializer
from inference.rollouts.measurements import (
    BOUNDS_MS,
    error_budget,
    histograms,
    quality_by_class,
    quality_by_day,
)
from inference.rollouts.policy_estimates import REWARDS, estimate_split
from inference.rollouts.selectors import visible_endpoints


class HistogramSerializer(serializers.Serializer[Any]):
    """Answers of one version by how long they took: a count for each bound, and one for what took longer."""

    version_id = serializers.UUIDField()
    counts = serializers.ListField(child=serializers.IntegerField())


class ErrorBudgetSerializer(serializers.Serializer[Any]):
    """How many failures the objective allows in seven days, and how many there were."""

    objective = serializers.FloatField(help_text="A share, such as 0.999.")
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    allowed = serializers.FloatField()
    used = serializers.FloatField(allow_null=True, help_text="Above 1 the budget is overdrawn.")
    burn_rate = serializers.FloatField(
        allow_null=True, help_text="Of the last hour; at 1 the budget lasts as long as the window."
    )


class ShareSerializer(serializers.Serializer[Any]):
    """One version's accuracy on one day, or on one right class."""

    version_id = serializers.UUIDField()
    part = serializers.CharField()
    labelled = serializers.IntegerField()
    right = serializers.IntegerField()
    accuracy = EstimateSerializer()


class MeasurementsSerializer(serializers.Serializer[Any]):
    """Everything about one endpoint."""

    bounds_ms = serializers.ListField(child=serializers.FloatField())
    latency = HistogramSerializer(many=True)
    error_budget = ErrorBudgetSerializer()
    quality_by_day = ShareSerializer(many=True)
    quality_by_class = ShareSerializer(many=True)


class ObjectiveSerializer(serializers.Serializer[Any]):
    """The objective of the error budget."""

    objective = serializers.FloatField(min_value=0.5, max_value=0.999999, default=0.999)


class SplitToEstimateSerializer(serializers.Serializer[Any]):
    """Another split in whole percents by version, and the reward to judge it by."""

    weights = serializers.DictField(child=serializers.IntegerField(min_value=0, max_value=100))
    reward = serializers.ChoiceField(choices=REWARDS, default=REWARDS[0])


class PolicyValueSerializer(serializers.Serializer[Any]):
    """One estimator's answer."""

    method = serializers.CharField()
    value = serializers.FloatField()
    low = serializers.FloatField(source="interval.low")
    high = serializers.FloatField(source="interval.high")
    effective_samples = serializers.FloatField()


class PolicyEstimateSerializer(serializers.Serializer[Any]):
    """What was earned, and what the other split would have earned."""

    reward = serializers.CharField()
    weights = serializers.DictField(child=serializers.IntegerField())
    decisions = serializers.IntegerField()
    earned = EstimateSerializer()
    values = PolicyValueSerializer(many=True)


class EndpointMeasurementsView(APIView):
    """Latency of the last hour, the error budget of a week, and quality by day and class of two weeks."""

    decisions = {"get": "rollouts.endpoint.view"}

    @extend_schema(
        parameters=[OpenApiParameter("objective", float, description="The objective of the error budget.")],
        responses=MeasurementsSerializer,
        operation_id="endpoints_measurements",
    )
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """The measurements of an endpoint's versions."""
        endpoint = get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
        given = ObjectiveSerializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        budget = error_budget(endpoint.id, objective=given.validated_data["objective"])
        found = {
            "bounds_ms": BOUNDS_MS,
            "latency": histograms(endpoint.id),
            "error_budget": asdict(budget) | {"allowed": budget.allowed, "used": budget.used},
            "quality_by_day": quality_by_day(endpoint.id),
            "quality_by_class": quality_by_class(endpoint.id),
        }
        return Response(MeasurementsSerializer(found).data)


class EndpointPolicyEstimateView(APIView):
    """What another split would have earned on the traffic of the last two weeks; nothing is changed."""

    decisions = {"post": "rollouts.endpoint.view"}

    @extend_schema(
        request=SplitToEstimateSerializer,
        responses=PolicyEstimateSerializer,
        operation_id="endpoints_estimate_split",
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """Estimate a split by inverse propensity scoring and by the doubly robust estimator."""
        endpoint = get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
        given = SplitToEstimateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(PolicyEstimateSerializer(estimate_split(endpoint.id, **given.validated_data)).data)
