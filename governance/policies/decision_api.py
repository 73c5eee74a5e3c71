"""REST: recorded decisions, and why each came out as it did."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.policies import selectors
from governance.policies.explanations import explain
from governance.policies.models import DecisionRecord
from governance.policies.refusals import Refusal


class DecisionRecordSerializer(serializers.ModelSerializer[DecisionRecord]):
    """Equal decisions of one hour. `enforced` is false where the answer only said what a page shows."""

    class Meta:
        model = DecisionRecord
        fields = [
            "id",
            "tenant",
            "principal_kind",
            "principal_id",
            "principal_label",
            "action",
            "target_type",
            "target_id",
            "target_label",
            "allow",
            "enforced",
            "rules",
            "reasons",
            "policy_version",
            "count",
            "first_at",
            "last_at",
        ]
        read_only_fields = fields


class CauseSerializer(serializers.Serializer[Any]):
    """A rule that decided, in words; `text` is the policy, where it may be read."""

    rule = serializers.CharField()
    origin = serializers.CharField()
    sentence = serializers.CharField()
    text = serializers.CharField()


class HelpSerializer(serializers.Serializer[Any]):
    """Who can help. Names are told to those who may see memberships; `changers` could propose other policies."""

    people = serializers.ListField(child=serializers.CharField())
    more_people = serializers.IntegerField()
    changers = serializers.ListField(child=serializers.CharField())
    roles = serializers.ListField(child=serializers.CharField())


class ExplanationSerializer(serializers.Serializer[Any]):
    """Why, what is missing, and who can help."""

    causes = CauseSerializer(many=True)
    missing = serializers.ListField(child=serializers.CharField())
    help = HelpSerializer()


class DecisionRecordFilter(filters.FilterSet):
    """What a reader narrows the decisions by."""

    since = filters.IsoDateTimeFilter(field_name="last_at", lookup_expr="gte")

    class Meta:
        model = DecisionRecord
        fields = ["allow", "enforced", "action", "principal_id", "target_type", "target_id"]


class DecisionRecordViewSet(viewsets.ReadOnlyModelViewSet[DecisionRecord]):
    """The decisions of the last seven days: one's own, or the tenant's for administrators."""

    decisions = {
        "list": "policies.decision.explain",
        "retrieve": "policies.decision.explain",
        "why": "policies.decision.explain",
    }
    queryset = DecisionRecord.objects.all()
    serializer_class = DecisionRecordSerializer
    filterset_class = DecisionRecordFilter

    def get_queryset(self) -> QuerySet[DecisionRecord]:
        return selectors.decisions_for(principal_of(self.request))

    @extend_schema(responses=ExplanationSerializer)
    @action(detail=True, methods=["get"])
    def why(self, request: Request, pk: str) -> Response:
        """The rule in words, what is missing, and who can help."""
        found = explain(principal_of(request), Refusal.of_record(self.get_object()))
        return Response(ExplanationSerializer(found).data)
