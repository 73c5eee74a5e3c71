"""REST: feedback about answers, and what it says about the versions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from inference.rollouts.feedback import MAX_ITEMS, Item, Receipt, give_feedback
from inference.rollouts.models import Feedback
from inference.rollouts.selectors import visible_endpoints
from inference.rollouts.version_quality import VersionQuality, version_quality


class FeedbackItemSerializer(serializers.Serializer[Any]):
    """What became known about one answer. The same key again with the same content changes nothing."""

    decision_id = serializers.UUIDField(help_text="From the answer's parameters.")
    key = serializers.RegexField(r"^[\x21-\x7e]+$", max_length=64, help_text="The sender's own, for repeats.")
    label = serializers.CharField(  # type: ignore[assignment]
        max_length=64, required=False, help_text="The right class, as the version would have said it."
    )
    reward = serializers.FloatField(min_value=0, max_value=1, required=False)
    task_completed = serializers.BooleanField(required=False)
    satisfaction = serializers.IntegerField(min_value=1, max_value=5, required=False)
    cost = serializers.FloatField(min_value=0, max_value=1e9, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not set(attrs) & set(Feedback.Kind.values):
            raise serializers.ValidationError("Say at least one of: " + ", ".join(Feedback.Kind.values))
        return attrs


class FeedbackSerializer(serializers.Serializer[Any]):
    """A batch."""

    items = serializers.ListField(child=FeedbackItemSerializer(), min_length=1, max_length=MAX_ITEMS)


class ReceiptSerializer(serializers.Serializer[Receipt]):
    """What became of one item."""

    decision_id = serializers.UUIDField()
    key = serializers.CharField()
    status = serializers.ChoiceField(choices=["accepted", "repeated", "conflict", "unknown"])
    retry = serializers.BooleanField(help_text="The decision is so young that its record may still come.")


class FeedbackView(APIView):
    """Tell what became of answers: the right class, a reward, a business event. The newest value counts."""

    decisions = {"post": "rollouts.feedback.request"}

    @extend_schema(
        request=FeedbackSerializer, responses=ReceiptSerializer(many=True), operation_id="feedback_create"
    )
    def post(self, request: Request) -> Response:
        """Send feedback in bulk; the answer says of each item what became of it."""
        given = FeedbackSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        items = [_item(item) for item in given.validated_data["items"]]
        receipts = give_feedback(principal=principal_of(request), items=items)
        return Response([asdict(receipt) for receipt in receipts])


def _item(given: dict[str, Any]) -> Item:
    values = {
        kind: given[kind] if kind == Feedback.Kind.LABEL else float(given[kind])
        for kind in Feedback.Kind.values
        if kind in given
    }
    return Item(given["decision_id"], given["key"], values)


class EstimateSerializer(serializers.Serializer[Any]):
    """A figure with its 95 % interval; null where it is not defined."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(source="interval.low", allow_null=True, default=None)
    high = serializers.FloatField(source="interval.high", allow_null=True, default=None)


class ClassFiguresSerializer(serializers.Serializer[Any]):
    """One class; the mean over all classes has an empty name."""

    name = serializers.CharField()
    support = serializers.IntegerField()
    precision = EstimateSerializer()
    recall = EstimateSerializer()
    f1 = EstimateSerializer()


class EventFiguresSerializer(serializers.Serializer[Any]):
    """A reward or a business event."""

    kind = serializers.CharField()
    count = serializers.IntegerField()
    mean = EstimateSerializer()


class VersionQualitySerializer(serializers.Serializer[VersionQuality]):
    """What came back about one version's answers."""

    version_id = serializers.UUIDField()
    labelled = serializers.IntegerField()
    accuracy = EstimateSerializer()
    macro = ClassFiguresSerializer(source="quality.macro", allow_null=True, default=None)
    classes = ClassFiguresSerializer(source="quality.classes", many=True, default=list)
    calibration_error = EstimateSerializer(source="calibration.error", allow_null=True, default=None)
    events = EventFiguresSerializer(many=True)


class EndpointQualityView(APIView):
    """How good an endpoint's versions are by the feedback of the last days (`days` in the query, default 7)."""

    decisions = {"get": "rollouts.endpoint.view"}

    @extend_schema(responses=VersionQualitySerializer(many=True), operation_id="endpoints_quality")
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """Accuracy, precision, recall, F1 and calibration per version, with intervals; rewards and events."""
        endpoint = get_object_or_404(visible_endpoints(principal_of(request)), pk=endpoint_id)
        asked = request.query_params.get("days", "")
        days = min(max(int(asked), 1), 30) if asked.isdecimal() and len(asked) < 3 else 7
        found: Any = version_quality(endpoint.id, window=timedelta(days=days))
        return Response(VersionQualitySerializer(found, many=True).data)
