"""REST: the size of an experiment before it starts, starting it, and stopping one of its treatments."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.decisions import require
from governance.access.requests import principal_of
from inference.rollouts.experiment_plans import COMPARED, ENDS, checked_experiment
from inference.rollouts.experiment_rollouts import start_experiment, stop_arms
from inference.rollouts.experiment_sizing import sizing
from inference.rollouts.models import Endpoint
from inference.rollouts.rollout_api import RolloutDetailSerializer
from inference.rollouts.rollout_services import whole_split
from inference.rollouts.selectors import visible_endpoints, visible_rollouts


class ExperimentPlanSerializer(serializers.Serializer[Any]):
    """What is compared, and how. Say either `shares` (whole percents by version) or `treatments` (equal shares)."""

    shares = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=99),
        required=False,
        help_text="Of the control, which has all traffic now, and of each treatment; they sum to 100.",
    )
    treatments = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, min_length=1, max_length=9
    )
    metric = serializers.ChoiceField(choices=COMPARED, default="error_rate")
    effect = serializers.FloatField(
        help_text="The smallest difference that matters, in the metric's unit: 0.01 is one percentage point."
    )
    alpha = serializers.FloatField(
        required=False, help_text="The chance of a false winner over all treatments and looks; default 0.05."
    )
    power = serializers.FloatField(required=False, help_text="For the size; default 0.8.")
    guardrails = serializers.ListField(child=serializers.DictField(), required=False, max_length=10)
    min_samples = serializers.IntegerField(required=False)
    min_s = serializers.FloatField(required=False)
    max_s = serializers.FloatField(required=False)
    max_samples = serializers.IntegerField(required=False, allow_null=True, help_text="Of every arm.")
    end = serializers.ChoiceField(
        choices=ENDS, required=False, help_text="Whether a person is asked, or the winner promoted."
    )
    look_every_s = serializers.FloatField(required=False)
    no_traffic_s = serializers.FloatField(required=False)


class NewExperimentSerializer(ExperimentPlanSerializer):
    """A plan, and why."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)


class SizedPlanSerializer(ExperimentPlanSerializer):
    """A plan to be sized, for other traffic than the present where wanted."""

    per_second = serializers.FloatField(
        required=False, min_value=1e-6, max_value=1e6, help_text="Requests per second that you expect."
    )


class ArmNeedSerializer(serializers.Serializer[Any]):
    """What one treatment needs."""

    version = serializers.CharField()
    share = serializers.IntegerField()
    samples = serializers.IntegerField(help_text="Of the metric.")
    requests = serializers.IntegerField(help_text="That bring so many samples.")
    duration_s = serializers.FloatField(allow_null=True)


class SizingSerializer(serializers.Serializer[Any]):
    """How many requests and how long, planned with a fixed horizon: larger effects show sooner."""

    metric = serializers.CharField()
    baseline = serializers.FloatField(allow_null=True, help_text="The present version's value.")
    assumed = serializers.BooleanField(help_text="Nothing is known of it: planned with the worst.")
    possible = serializers.BooleanField(help_text="That the present value improves by the effect.")
    effect = serializers.FloatField()
    level = serializers.FloatField(help_text="Of each treatment's comparison with the control.")
    power = serializers.FloatField()
    told = serializers.FloatField(help_text="The part of the requests that brings a sample.")
    per_second = serializers.FloatField()
    arms = ArmNeedSerializer(many=True)
    duration_s = serializers.FloatField(allow_null=True)
    longest_s = serializers.FloatField()
    fits = serializers.BooleanField(allow_null=True, help_text="Within the plan's longest time.")


class PlannedExperimentSerializer(serializers.Serializer[Any]):
    """The plan with everything that was left out, and its size."""

    plan = serializers.DictField()
    size = SizingSerializer()


class StoppedArmSerializer(serializers.Serializer[Any]):
    """Which treatment gets nothing any more, and why."""

    version = serializers.CharField(max_length=64)
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)


class EndpointExperimentsView(APIView):
    """Experiments on an endpoint."""

    decisions = {"post": "rollouts.endpoint.split"}

    @extend_schema(
        request=NewExperimentSerializer,
        responses={201: RolloutDetailSerializer},
        operation_id="endpoints_experiment_start",
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """Divide the traffic between the present version and treatments; the controller takes it from there."""
        endpoint = _endpoint(request, endpoint_id)
        given = NewExperimentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        plan = dict(given.validated_data)
        reason = plan.pop("reason")
        made = start_experiment(
            principal=principal_of(request), endpoint_id=endpoint.id, plan=plan, reason=reason
        )
        found = visible_rollouts(principal_of(request)).get(pk=made.pk)
        return Response(RolloutDetailSerializer(found).data, status=status.HTTP_201_CREATED)


class EndpointExperimentPlanView(APIView):
    """The size of an experiment, before it starts; nothing is changed."""

    decisions = {"post": "rollouts.endpoint.split"}

    @extend_schema(
        request=SizedPlanSerializer,
        responses=PlannedExperimentSerializer,
        operation_id="endpoints_experiment_plan",
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """Check a plan and say how many requests and how long it needs at the endpoint's present traffic."""
        endpoint = _endpoint(request, endpoint_id)
        require(principal_of(request), "rollouts.endpoint.split", endpoint)
        given = SizedPlanSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        per_second = values.pop("per_second", None)
        _before, control = whole_split(endpoint)
        plan = checked_experiment(control.version, values)
        size = sizing(endpoint, plan, now_per_second=per_second)
        return Response(PlannedExperimentSerializer({"plan": plan.to_json(), "size": asdict(size)}).data)


class RolloutStopArmView(APIView):
    """Stopping one treatment of an experiment."""

    decisions = {"post": "rollouts.endpoint.split"}

    @extend_schema(
        request=StoppedArmSerializer, responses=RolloutDetailSerializer, operation_id="rollouts_stop_arm"
    )
    def post(self, request: Request, rollout_id: UUID) -> Response:
        """Give a treatment nothing any more; the control gets its share."""
        found = get_object_or_404(visible_rollouts(principal_of(request)), pk=rollout_id)
        given = StoppedArmSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        stop_arms(
            principal=principal_of(request),
            rollout_id=found.id,
            versions=[given.validated_data["version"]],
            reason=given.validated_data["reason"],
        )
        again = visible_rollouts(principal_of(request)).get(pk=found.pk)
        return Response(RolloutDetailSerializer(again).data)


def _endpoint(request: Request, endpoint_id: UUID) -> Endpoint:
    return get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
