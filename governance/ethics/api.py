"""REST: ethics approvals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.ethics import services
from governance.ethics.models import Approval
from governance.ethics.questionnaires import CURRENT


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """An approval, bound to one digest."""

    class Meta:
        model = Approval
        fields = [
            "id",
            "subject_type",
            "subject_id",
            "subject_digest",
            "subject_label",
            "purpose",
            "questionnaire_version",
            "questionnaire",
            "state",
            "requested_at",
            "decided_at",
            "reason",
            "expires_at",
        ]
        read_only_fields = fields


class EthicsDecisionSerializer(serializers.Serializer[Any]):
    """A decision and why."""

    approve = serializers.BooleanField()
    reason = serializers.CharField(max_length=4000)


class QuestionSerializer(serializers.Serializer[Any]):
    """One question; `text` wants at least ten characters, `confirm` wants true."""

    id = serializers.CharField()
    text = serializers.CharField()
    help = serializers.CharField()
    kind = serializers.ChoiceField(choices=["text", "confirm"])


class QuestionnaireSerializer(serializers.Serializer[Any]):
    """The questions in the caller's language."""

    version = serializers.CharField()
    questions = QuestionSerializer(many=True)


class QuestionnaireView(APIView):
    """The ethics questionnaire in force."""

    decisions = {"get": "ethics.approval.view"}

    @extend_schema(responses=QuestionnaireSerializer, operation_id="ethics_questionnaire")
    def get(self, request: Request) -> Response:
        """What a publisher answers about a plugin with a high-risk purpose."""
        return Response(QuestionnaireSerializer(CURRENT).data)


class ApprovalViewSet(viewsets.ReadOnlyModelViewSet[Approval]):
    """Approvals of one's tenant; of every tenant for the ethics office."""

    decisions = {
        "list": "ethics.approval.view",
        "retrieve": "ethics.approval.view",
        "decide": "ethics.approval.decide",
    }
    queryset = Approval.objects.all()
    serializer_class = ApprovalSerializer
    filterset_fields = ["state", "purpose", "subject_id"]

    @extend_schema(request=EthicsDecisionSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Approve or refuse, with a reason. Nobody decides on a request of their own."""
        given = EthicsDecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        approval = services.decide_approval(
            principal=principal_of(request),
            approval_id=self.get_object().id,
            **given.validated_data,
        )
        return Response(ApprovalSerializer(approval).data)
