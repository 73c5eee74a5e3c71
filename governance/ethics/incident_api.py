"""REST: the incident register."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.ethics import incidents, selectors
from governance.ethics.models import Incident
from governance.ethics.serializers import (
    CloseSerializer,
    IncidentSerializer,
    InvestigateSerializer,
    NewIncidentSerializer,
    ReportSerializer,
)

HANDLE = "ethics.incident.handle"


class IncidentViewSet(viewsets.ReadOnlyModelViewSet[Incident]):
    """Incidents of one's tenant; of every tenant for the house."""

    decisions = {
        "list": "ethics.incident.view",
        "retrieve": "ethics.incident.view",
        "create": "ethics.incident.open",
        "investigate": HANDLE,
        "report": HANDLE,
        "close": HANDLE,
    }
    queryset = Incident.objects.all()
    serializer_class = IncidentSerializer
    filterset_fields = ["state", "severity", "serious", "subject_id"]

    def get_queryset(self) -> QuerySet[Incident]:
        """The tenant's, or every tenant's for the platform."""
        return selectors.visible_incidents(principal_of(self.request))

    @extend_schema(request=NewIncidentSerializer, responses={201: IncidentSerializer})
    def create(self, request: Request) -> Response:
        """Enter an incident of one's own tenant."""
        principal = principal_of(request)
        if principal.tenant_id is None:
            raise InvalidInput(_("An incident belongs to a tenant; choose one."))
        given = NewIncidentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        subject = given.subject()
        made = incidents.open_incident(
            principal=principal, subject=subject, tenant_id=principal.tenant_id, **given.validated_data
        )
        return Response(IncidentSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=InvestigateSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def investigate(self, request: Request, pk: str) -> Response:
        """Begin the investigation."""
        return self._step(request, InvestigateSerializer, incidents.investigate)

    @extend_schema(request=ReportSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def report(self, request: Request, pk: str) -> Response:
        """Note to whom it was reported."""
        return self._step(request, ReportSerializer, incidents.report)

    @extend_schema(request=CloseSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """End it with the corrective action."""
        return self._step(request, CloseSerializer, incidents.close)

    def _step(
        self, request: Request, given_by: type[serializers.Serializer], service: Callable[..., Incident]
    ) -> Response:
        given = given_by(data=request.data)
        given.is_valid(raise_exception=True)
        done = service(
            principal=principal_of(request), incident_id=self.get_object().id, **given.validated_data
        )
        return Response(IncidentSerializer(done).data)
