"""REST: pools, placements and erasures."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.data import erasing, pools
from governance.data import serializers as forms
from governance.data.models import BurstPolicy, ComputePool, Erasure, PlacementRecord
from governance.data.trial import try_placement


class ComputePoolViewSet(
    mixins.ListModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet[ComputePool]
):
    """Compute pools that are described: those of the platform, open to every tenant, and one's own."""

    decisions = {"list": "data.placement.view", "create": "data.pool.manage"}
    queryset = ComputePool.objects.order_by("name")
    serializer_class = forms.ComputePoolSerializer

    @extend_schema(request=forms.ComputePoolSerializer, responses=forms.ComputePoolSerializer)
    def create(self, request: Request) -> Response:
        """Describe a pool, new or known by its name: of one's tenant, or, for the platform, one open to all."""
        given = forms.ComputePoolSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        pool = pools.set_pool(
            principal=principal, tenant_id=pools.own_tenant(principal), **given.validated_data
        )
        return Response(forms.ComputePoolSerializer(pool).data)


class BurstRuleViewSet(viewsets.GenericViewSet[BurstPolicy]):
    """Burst rules in use. They are the platform's, and every tenant may read them."""

    decisions = {"list": "data.placement.view", "create": "data.pool.manage"}
    queryset = BurstPolicy.objects.none()
    pagination_class = None
    serializer_class = forms.BurstSerializer

    @extend_schema(responses=forms.BurstSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The rules in use, by workload."""
        rules = sorted(pools.bursts().values(), key=lambda rule: rule.workload)
        return Response([self._body(rule) for rule in rules])

    @extend_schema(request=forms.BurstSerializer, responses=forms.BurstSerializer)
    def create(self, request: Request) -> Response:
        """Set the rule of a workload, or (`enabled` false) put it out of use."""
        given = forms.BurstSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        rule = pools.set_burst(
            principal=principal_of(request),
            workload=wanted["workload"],
            threshold=wanted["threshold"],
            pool_name=wanted["pool"],
            enabled=wanted["enabled"],
        )
        return Response(self._body(rule))

    def _body(self, rule: pools.Burst | BurstPolicy) -> dict[str, Any]:
        enabled = rule.enabled if isinstance(rule, BurstPolicy) else True
        return {
            "workload": rule.workload,
            "threshold": rule.threshold,
            "pool": str(rule.pool),
            "enabled": enabled,
        }


class PlacementViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[PlacementRecord]):
    """Recorded placements and refusals, newest first; and a trial that queues nothing."""

    decisions = {"list": "data.placement.view", "try_out": "data.placement.view"}
    queryset = PlacementRecord.objects.all()
    serializer_class = forms.PlacementRecordSerializer
    filterset_fields = ["workload", "pool", "label", "rule", "burst"]

    @extend_schema(request=forms.TrialSerializer, responses=forms.VerdictSerializer)
    @action(detail=False, methods=["post"], url_path="try")
    def try_out(self, request: Request) -> Response:
        """Where would work on these assets run, and which rule keeps it from each other pool?"""
        given = forms.TrialSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        verdict = try_placement(
            principal=principal_of(request),
            asset_ids=given.validated_data["assets"],
            workload=given.validated_data["workload"],
            region=given.validated_data["region"],
            purpose=given.validated_data["purpose"],
        )
        return Response(forms.VerdictSerializer(verdict).data)


class ErasureViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Erasure]):
    """Erasures with their progress and receipts."""

    decisions = {
        "list": "data.erasure.view",
        "retrieve": "data.erasure.view",
        "create": "data.erasure.request",
        "cancel": "data.erasure.request",
        "retry": "data.erasure.request",
        "confirm": "data.erasure.request",
    }
    queryset = Erasure.objects.prefetch_related("places")
    serializer_class = forms.ErasureSerializer
    filterset_fields = ["state", "kind"]

    @extend_schema(request=forms.NewErasureSerializer, responses={201: forms.ErasureSerializer})
    def create(self, request: Request) -> Response:
        """Erase an asset with everything that came of it, or all that is kept about a data subject."""
        given = forms.NewErasureSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = erasing.request_erasure(principal=principal_of(request), **given.validated_data)
        return Response(self._body(made), status=status.HTTP_201_CREATED)

    @extend_schema(request=forms.StoppingSerializer, responses=forms.ErasureSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop it; what is erased stays erased."""
        given = forms.StoppingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        stopped = erasing.cancel_erasure(
            principal=principal_of(request), erasure_id=self.get_object().id, **given.validated_data
        )
        return Response(self._body(stopped))

    @extend_schema(request=None, responses=forms.ErasureSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Try the places again that needed a person."""
        again = erasing.retry_erasure(principal=principal_of(request), erasure_id=self.get_object().id)
        return Response(self._body(again))

    @extend_schema(request=forms.ConfirmationSerializer, responses=forms.ErasureSerializer)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: str) -> Response:
        """Say that a place which needed a person is erased; the last one completes the erasure."""
        given = forms.ConfirmationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        confirmed = erasing.confirm_place(
            principal=principal_of(request),
            erasure_id=self.get_object().id,
            place_id=given.validated_data["place"],
            note=given.validated_data["note"],
        )
        return Response(self._body(confirmed))

    def _body(self, erasure: Erasure) -> Any:
        return forms.ErasureSerializer(erasure).data
