"""REST: the catalogue, datasets, lineage, labels."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.data import datasets, lineage, loosening, selectors, services
from governance.data import serializers as forms
from governance.data.models import Asset, Dataset, Declassification
from governance.data.reading_rights import grant_reading, revoke_reading
from governance.errors import NotFound


class AssetViewSet(viewsets.ReadOnlyModelViewSet[Asset]):
    """The catalogue of one's tenant; of every tenant for the platform."""

    decisions = {
        "list": "data.asset.view",
        "retrieve": "data.asset.view",
        "label": "data.asset.label",
        "describe": "data.asset.describe",
        "links": "data.asset.register",
        "declassify": "data.asset.request_declassification",
    }
    queryset = Asset.objects.all()
    serializer_class = forms.AssetSerializer
    filterset_fields = ["type", "label", "object_id", "purpose"]

    def get_queryset(self) -> Any:
        return selectors.visible_assets(principal_of(self.request))

    @extend_schema(request=forms.LabelSerializer, responses=forms.RaisedSerializer)
    @action(detail=True, methods=["post"])
    def label(self, request: Request, pk: str) -> Response:
        """Raise a label or add subjects; what came of the asset rises with it."""
        given = _valid(forms.LabelSerializer(data=request.data))
        raised = services.relabel(principal=principal_of(request), asset_id=self.get_object().id, **given)
        return Response(forms.RaisedSerializer({"asset": self.get_object(), "raised": raised}).data)

    @extend_schema(request=forms.DescriptionSerializer, responses=forms.AssetSerializer)
    @action(detail=True, methods=["post"])
    def describe(self, request: Request, pk: str) -> Response:
        """Change purpose, region, licence or retention."""
        given = _valid(forms.DescriptionSerializer(data=request.data))
        asset = services.describe_asset(
            principal=principal_of(request), asset_id=self.get_object().id, **given
        )
        return Response(forms.AssetSerializer(asset).data)

    @extend_schema(request=forms.LinkSerializer, responses={201: forms.EdgeSerializer})
    @action(detail=True, methods=["post"])
    def links(self, request: Request, pk: str) -> Response:
        """Say what the asset came of; the source's label flows to it."""
        given = _valid(forms.LinkSerializer(data=request.data))
        principal, target = principal_of(request), self.get_object()
        source = lineage.asset_for(principal, given["source"])
        if source.tenant_id != target.tenant_id:
            raise NotFound("There is no such asset.")
        edge = services.link(
            principal=principal,
            source=source.target,
            target=target.target,
            relation=given["relation"],
            tenant_id=target.tenant_id,
        )
        return Response(forms.EdgeSerializer(edge).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=forms.LooseningSerializer, responses={201: forms.DeclassificationSerializer})
    @action(detail=True, methods=["post"])
    def declassify(self, request: Request, pk: str) -> Response:
        """Ask that label, subjects, region, purpose or retention be loosened; somebody else decides."""
        given = _valid(forms.LooseningSerializer(data=request.data))
        wish = loosening.request_declassification(
            principal=principal_of(request), asset_id=self.get_object().id, **given
        )
        return Response(forms.DeclassificationSerializer(wish).data, status=status.HTTP_201_CREATED)


class DeclassificationViewSet(viewsets.ReadOnlyModelViewSet[Declassification]):
    """Requests to loosen what holds an asset back."""

    decisions = {
        "list": "data.asset.view",
        "retrieve": "data.asset.view",
        "decide": "data.asset.declassify",
    }
    queryset = Declassification.objects.all()
    serializer_class = forms.DeclassificationSerializer
    filterset_fields = ["state", "asset"]

    @extend_schema(
        request=forms.DeclassificationDecisionSerializer, responses=forms.DeclassificationSerializer
    )
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Loosen it as asked, or refuse to. Nobody decides on a request of their own."""
        given = _valid(forms.DeclassificationDecisionSerializer(data=request.data))
        wish = loosening.decide_declassification(
            principal=principal_of(request), request_id=self.get_object().id, **given
        )
        return Response(forms.DeclassificationSerializer(wish).data)


class DatasetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Dataset]):
    """Registered datasets."""

    decisions = {"list": "data.asset.view", "retrieve": "data.asset.view", "create": "data.asset.register"}
    queryset = Dataset.objects.all()
    serializer_class = forms.DatasetSerializer
    parser_classes = [MultiPartParser, JSONParser]
    filterset_fields = ["name", "kind"]

    def get_queryset(self) -> Any:
        return selectors.visible_datasets(principal_of(self.request))

    @extend_schema(
        request={
            "multipart/form-data": forms.NewDatasetSerializer,
            "application/json": forms.NewDatasetSerializer,
        },
        responses={201: forms.DatasetSerializer},
    )
    def create(self, request: Request) -> Response:
        """Register a file, which is sealed before it reaches the disk, or the address of data elsewhere."""
        given = _valid(forms.NewDatasetSerializer(data=request.data))
        file, location, digest = given.pop("file", None), given.pop("location"), given.pop("digest")
        principal = principal_of(request)
        if file is not None:
            made = datasets.upload_dataset(
                principal=principal, filename=file.name or "", chunks=file.chunks(), **given
            )
        else:
            made = datasets.reference_dataset(principal=principal, location=location, digest=digest, **given)
        return Response(forms.DatasetSerializer(made).data, status=status.HTTP_201_CREATED)


class DatasetGrantView(APIView):
    """Which OAuth 2.0 clients may have work done on a dataset."""

    decisions = {"put": "access.grant.manage", "delete": "access.grant.manage"}

    @extend_schema(request=None, responses={204: None}, operation_id="datasets_grant")
    def put(self, request: Request, dataset_id: UUID, application_id: UUID) -> Response:
        """Let the application name the dataset as the input of its work."""
        principal = principal_of(request)
        dataset = get_object_or_404(selectors.visible_datasets(principal), pk=dataset_id)
        grant_reading(principal=principal, dataset_id=dataset.id, application_id=application_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses={204: None}, operation_id="datasets_revoke")
    def delete(self, request: Request, dataset_id: UUID, application_id: UUID) -> Response:
        """Take the right away; it stops working within a second."""
        principal = principal_of(request)
        dataset = get_object_or_404(selectors.visible_datasets(principal), pk=dataset_id)
        revoke_reading(principal=principal, dataset_id=dataset.id, application_id=application_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class LineageView(APIView):
    """Where something came from, and what came of it."""

    decisions = {"get": "data.asset.view"}

    @extend_schema(
        responses=forms.LineageSerializer,
        operation_id="lineage",
        parameters=[
            OpenApiParameter("asset", OpenApiTypes.UUID, description="An asset of the catalogue."),
            OpenApiParameter("prediction", OpenApiTypes.STR, description="A prediction's request id."),
            OpenApiParameter("batch_job", OpenApiTypes.UUID, description="A batch job."),
        ],
    )
    def get(self, request: Request) -> Response:
        """Start at an asset, a prediction or a batch job."""
        principal = principal_of(request)
        facts: dict[str, str] = {}
        ask = request.query_params
        if ask.get("asset"):
            start = lineage.asset_for(principal, _uuid(ask["asset"]))
        else:
            kind = "prediction" if ask.get("prediction") else "batch-job"
            start, facts = lineage.asset_of_reference(
                principal, kind, ask.get("prediction") or ask.get("batch_job", "")
            )
        graph = lineage.graph_of(start)
        body = {"start": start, "nodes": graph.nodes, "edges": graph.edges, "cut": graph.cut, "facts": facts}
        return Response(forms.LineageSerializer(body).data)


def _valid(form: Any) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    given = dict(form.validated_data)
    if "subjects" in given:
        given["subjects"] = sorted(given["subjects"])
    return given


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise NotFound("There is no such asset.") from error
