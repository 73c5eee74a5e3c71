"""REST: keys, their rotation, re-encryption and destruction. Key material is in none of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.audit.services import platform_tenant_id
from governance.keys import selectors, services
from governance.keys.models import DataKey, Destruction, ReEncryption, WrappingKey


class KeyProviderSerializer(serializers.Serializer[Any]):
    """The provider in use. `is_hardware` is what the token says of itself."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    is_hardware = serializers.BooleanField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class WrappingKeySerializer(serializers.ModelSerializer[WrappingKey]):
    """A wrapping key: its name at its provider, never the key."""

    class Meta:
        model = WrappingKey
        fields = [
            "id",
            "tenant",
            "number",
            "provider",
            "reference",
            "state",
            "uses",
            "created_at",
            "retired_at",
            "destroyed_at",
            "erased_at",
        ]
        read_only_fields = fields


class DataKeySerializer(serializers.ModelSerializer[DataKey]):
    """A data key. Its counters lag a little."""

    class Meta:
        model = DataKey
        fields = [
            "id",
            "tenant",
            "purpose",
            "number",
            "wrapping_key",
            "state",
            "uses",
            "sealed_bytes",
            "problem",
            "created_at",
            "retired_at",
            "destroyed_at",
        ]
        read_only_fields = fields


class ReEncryptionSerializer(serializers.ModelSerializer[ReEncryption]):
    """A re-encryption and how far it is."""

    percent = serializers.IntegerField(read_only=True)

    class Meta:
        model = ReEncryption
        fields = [
            "id",
            "tenant",
            "purpose",
            "state",
            "percent",
            "total",
            "seen",
            "rewritten",
            "problems",
            "waits_for",
            "requested_at",
            "finished_at",
        ]
        read_only_fields = fields


class DestructionSerializer(serializers.ModelSerializer[Destruction]):
    """A request to destroy all keys of a tenant."""

    class Meta:
        model = Destruction
        fields = [
            "id",
            "tenant",
            "state",
            "reason",
            "requested_by",
            "requested_at",
            "decided_by",
            "decided_at",
        ]
        read_only_fields = fields


class TenantChoiceSerializer(serializers.Serializer[Any]):
    """Whose keys; the caller's own tenant by default."""

    tenant = serializers.UUIDField(required=False)


class RotationSerializer(TenantChoiceSerializer):
    """Whose wrapping key, and why."""

    reason = serializers.CharField(max_length=1000, required=False, default="")


class KeyReasonSerializer(serializers.Serializer[Any]):
    """Why a key is rotated."""

    reason = serializers.CharField(max_length=1000, required=False, default="")


class ReEncryptionRequestSerializer(TenantChoiceSerializer):
    """Whose data, and of which purpose; every purpose by default."""

    purpose = serializers.CharField(max_length=60, required=False, default="")


class DestructionRequestSerializer(TenantChoiceSerializer):
    """Whose keys, and why."""

    reason = serializers.CharField(max_length=4000)


class KeyProviderView(APIView):
    """Where keys live."""

    decisions = {"get": "keys.key.view"}

    @extend_schema(responses=KeyProviderSerializer, operation_id="key_provider")
    def get(self, request: Request) -> Response:
        """The provider in use, whether it answers now, and its warnings."""
        return Response(KeyProviderSerializer(selectors.provider_state()).data)


class WrappingKeyViewSet(viewsets.ReadOnlyModelViewSet[WrappingKey]):
    """Wrapping keys of one's tenant; of every tenant for platform administrators."""

    decisions = {"list": "keys.key.view", "retrieve": "keys.key.view", "rotate": "keys.key.rotate"}
    queryset = WrappingKey.objects.all()
    serializer_class = WrappingKeySerializer
    filterset_fields = ["tenant", "state"]

    @extend_schema(request=RotationSerializer, responses={201: WrappingKeySerializer})
    @action(detail=False, methods=["post"])
    def rotate(self, request: Request) -> Response:
        """Make the tenant's next wrapping key. Its data keys are wrapped anew behind the request; no data moves."""
        given = _checked(RotationSerializer, request)
        key = services.rotate_wrapping_key(
            principal=principal_of(request), tenant_id=_tenant(request, given), reason=given["reason"]
        )
        return Response(WrappingKeySerializer(key).data, status=status.HTTP_201_CREATED)


class DataKeyViewSet(viewsets.ReadOnlyModelViewSet[DataKey]):
    """Data keys of one's tenant; of every tenant for platform administrators."""

    decisions = {"list": "keys.key.view", "retrieve": "keys.key.view", "rotate": "keys.key.rotate"}
    queryset = DataKey.objects.all()
    serializer_class = DataKeySerializer
    filterset_fields = ["tenant", "purpose", "state"]

    @extend_schema(request=KeyReasonSerializer, responses={201: DataKeySerializer})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Seal with a new key from now on. What this one sealed stays readable."""
        given = _checked(KeyReasonSerializer, request)
        old = self.get_object()
        key = services.rotate_data_key(
            principal=principal_of(request), tenant_id=old.tenant_id, purpose=old.purpose, **given
        )
        return Response(DataKeySerializer(key).data, status=status.HTTP_201_CREATED)


class ReEncryptionViewSet(viewsets.ReadOnlyModelViewSet[ReEncryption]):
    """Re-encryptions of one's tenant; of every tenant for platform administrators."""

    decisions = {
        "list": "keys.key.view",
        "retrieve": "keys.key.view",
        "create": "keys.key.rotate",
        "cancel": "keys.key.rotate",
    }
    queryset = ReEncryption.objects.all()
    serializer_class = ReEncryptionSerializer
    filterset_fields = ["tenant", "state"]

    @extend_schema(request=ReEncryptionRequestSerializer, responses={201: ReEncryptionSerializer})
    def create(self, request: Request) -> Response:
        """Begin to write everything anew that a retired key sealed."""
        given = _checked(ReEncryptionRequestSerializer, request)
        job = services.re_encrypt(
            principal=principal_of(request), tenant_id=_tenant(request, given), purpose=given["purpose"]
        )
        return Response(ReEncryptionSerializer(job).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ReEncryptionSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop after the present step; what is written anew stays so."""
        job = services.cancel_re_encryption(principal=principal_of(request), job_id=self.get_object().id)
        return Response(ReEncryptionSerializer(job).data)


class DestructionViewSet(viewsets.ReadOnlyModelViewSet[Destruction]):
    """Requests to destroy keys."""

    decisions = {
        "list": "keys.key.view",
        "retrieve": "keys.key.view",
        "create": "keys.destruction.request",
        "confirm": "keys.key.destroy",
        "withdraw": "keys.destruction.request",
    }
    queryset = Destruction.objects.all()
    serializer_class = DestructionSerializer
    filterset_fields = ["tenant", "state"]

    @extend_schema(request=DestructionRequestSerializer, responses={201: DestructionSerializer})
    def create(self, request: Request) -> Response:
        """Ask that all keys of a tenant be destroyed. Nothing happens until a second person confirms."""
        given = _checked(DestructionRequestSerializer, request)
        asked = services.request_destruction(
            principal=principal_of(request), tenant_id=_tenant(request, given), reason=given["reason"]
        )
        return Response(DestructionSerializer(asked).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=DestructionSerializer)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: str) -> Response:
        """Destroy the keys, as a second person. What they sealed can never be read again."""
        asked = services.confirm_destruction(
            principal=principal_of(request), destruction_id=self.get_object().id
        )
        return Response(DestructionSerializer(asked).data)

    @extend_schema(request=None, responses=DestructionSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take the request back, or refuse it."""
        asked = services.withdraw_destruction(
            principal=principal_of(request), destruction_id=self.get_object().id
        )
        return Response(DestructionSerializer(asked).data)


def _checked(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _tenant(request: Request, given: dict[str, Any]) -> UUID:
    return given.get("tenant") or principal_of(request).tenant_id or platform_tenant_id()
