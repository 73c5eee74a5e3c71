"""REST: transmitters of security events, and what they told."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.events import selectors, services
from governance.events.models import ReceivedEvent, Transmitter


class TransmitterSerializer(serializers.ModelSerializer[Transmitter]):
    """A company's source of security events. `deliver_to` is where it pushes them (RFC 8935)."""

    deliver_to = serializers.SerializerMethodField()

    class Meta:
        model = Transmitter
        fields = [
            "id", "name", "issuer", "audience", "jwks_url", "internal_network", "enabled", "created_at",
            "last_event_at", "deliver_to",
        ]  # fmt: skip
        read_only_fields = fields

    def get_deliver_to(self, row: Transmitter) -> str:
        return settings.PUBLIC_URL + reverse("caep-deliver", args=[row.pk])


class NewTransmitterSerializer(serializers.Serializer[Any]):
    """A transmitter to believe: give either the address of its keys or the keys, as a JWK Set (RFC 7517)."""

    name = serializers.CharField(max_length=80)
    issuer = serializers.CharField(max_length=500)
    audience = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    jwks_url = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    jwks = serializers.JSONField(required=False, default=None, allow_null=True)
    internal_network = serializers.BooleanField(required=False, default=False)


class TransmitterEnabledSerializer(serializers.Serializer[Any]):
    """Whether events of the transmitter are believed, and why that changes."""

    enabled = serializers.BooleanField()
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class ReceivedEventSerializer(serializers.ModelSerializer[ReceivedEvent]):
    """A security event that was accepted. `effects` are sentences about what it did."""

    class Meta:
        model = ReceivedEvent
        fields = [
            "id", "transmitter", "jti", "types", "subject", "user", "reason", "issued_at", "received_at",
            "state", "effects",
        ]  # fmt: skip
        read_only_fields = fields


class TransmitterViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Transmitter]
):
    """Transmitters of one's tenant."""

    decisions = {
        "list": "events.event.view",
        "retrieve": "events.event.view",
        "create": "events.transmitter.manage",
        "enabled": "events.transmitter.manage",
    }
    queryset = Transmitter.objects.all()
    serializer_class = TransmitterSerializer
    filterset_fields = ["enabled", "issuer"]

    def get_queryset(self) -> QuerySet[Transmitter]:
        """Row security decides whose."""
        return selectors.transmitters(principal_of(self.request))

    @extend_schema(request=NewTransmitterSerializer, responses={201: TransmitterSerializer})
    def create(self, request: Request) -> Response:
        """Believe events of this issuer about the tenant's people."""
        given = NewTransmitterSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.add_transmitter(principal=principal_of(request), **given.validated_data)
        return Response(TransmitterSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=TransmitterEnabledSerializer, responses=TransmitterSerializer)
    @action(detail=True, methods=["put"])
    def enabled(self, request: Request, pk: str) -> Response:
        """Stop believing it, or believe it again."""
        given = TransmitterEnabledSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = services.set_transmitter_enabled(
            principal=principal_of(request), transmitter_id=self.get_object().id, **given.validated_data
        )
        return Response(TransmitterSerializer(changed).data)


class ReceivedEventViewSet(viewsets.ReadOnlyModelViewSet[ReceivedEvent]):
    """Security events that were accepted, the newest first."""

    decisions = {"list": "events.event.view", "retrieve": "events.event.view"}
    queryset = ReceivedEvent.objects.all()
    serializer_class = ReceivedEventSerializer
    filterset_fields = ["state", "transmitter", "user"]

    def get_queryset(self) -> QuerySet[ReceivedEvent]:
        """Row security decides whose."""
        return selectors.events(principal_of(self.request))
