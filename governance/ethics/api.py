"""REST: the questionnaire, ethics approvals with their evidence, and what is bound to them."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.ethics import selectors, services
from governance.ethics.models import Approval, Binding
from governance.ethics.questionnaires import CURRENT
from governance.ethics.serializers import (
    ApprovalSerializer,
    BindingSerializer,
    EthicsDecisionSerializer,
    EvidenceGivenSerializer,
    EvidenceSerializer,
    QuestionnaireSerializer,
)


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
        "documents": "ethics.approval.view",
        "evidence": "ethics.evidence.supply",
        "renew": "ethics.approval.request",
    }
    queryset = Approval.objects.all()
    serializer_class = ApprovalSerializer
    filterset_fields = ["state", "purpose", "subject_id", "risk_class"]

    def get_queryset(self) -> QuerySet[Approval]:
        """Row security decides whose; the evidence comes along."""
        return selectors.with_evidence(Approval.objects.all())

    @extend_schema(request=EthicsDecisionSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Approve, under conditions if need be, or refuse, with a reason. Nobody decides on a request of their own."""
        given = EthicsDecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        services.decide_approval(
            principal=principal_of(request),
            approval_id=self.get_object().id,
            **given.validated_data,
        )
        return Response(ApprovalSerializer(self.get_object()).data)

    @extend_schema(responses=EvidenceSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def documents(self, request: Request, pk: str) -> Response:
        """Every document of evidence with its content, the newest first."""
        return Response(EvidenceSerializer(self.get_object().evidence.order_by("-id"), many=True).data)

    @extend_schema(request=EvidenceGivenSerializer, responses={201: EvidenceSerializer})
    @action(detail=True, methods=["post"])
    def evidence(self, request: Request, pk: str) -> Response:
        """Add a model card, an evaluation per group, or an oversight plan to an open request."""
        given = EvidenceGivenSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        row = services.supply_evidence(
            principal=principal_of(request), approval_id=self.get_object().id, **given.validated_data
        )
        return Response(EvidenceSerializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={201: ApprovalSerializer})
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, pk: str) -> Response:
        """Ask for the same approval again, with the same answers and evidence, before or after it ends."""
        made = services.renew_approval(principal=principal_of(request), approval_id=self.get_object().id)
        return Response(
            ApprovalSerializer(self.get_queryset().get(pk=made.pk)).data, status=status.HTTP_201_CREATED
        )


class BindingViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Binding]):
    """What in one's tenant needs an ethics approval, whether it holds, and under which conditions."""

    decisions = {"list": "ethics.binding.view"}
    queryset = Binding.objects.all()
    serializer_class = BindingSerializer
    filterset_fields = ["object_type", "object_id", "in_force"]

    def get_queryset(self) -> QuerySet[Binding]:
        """The tenant's, or every tenant's for the platform."""
        return selectors.visible_bindings(principal_of(self.request))
