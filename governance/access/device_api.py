"""REST: registered devices."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access import devices
from governance.access.challenges import TokenRefused
from governance.access.credentials import only_one, proofs_of, urls_of
from governance.access.dpop import check_proof
from governance.access.models import RegisteredDevice
from governance.access.posture import present_posture
from governance.access.replay import use_once
from governance.access.requests import principal_of
from governance.access.signals import SESSION_DEVICE
from governance.errors import InvalidInput, Unavailable
from governance.principals import Device


class DeviceSerializer(serializers.ModelSerializer[RegisteredDevice]):
    """A device, by the thumbprint of its key. What was heard of its posture too long ago counts as unknown."""

    posture = serializers.SerializerMethodField()
    user = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = RegisteredDevice
        fields = [
            "id",
            "name",
            "user",
            "jkt",
            "posture",
            "posture_at",
            "source",
            "registered_at",
            "revoked_at",
        ]
        read_only_fields = fields

    def get_posture(self, device: RegisteredDevice) -> str:
        """As it counts now."""
        return present_posture(device).value


class NewDeviceSerializer(serializers.Serializer[Any]):
    """What a device is called. Its key is that of the request's DPoP proof."""

    name = serializers.CharField(max_length=120)


class PostureSerializer(serializers.Serializer[Any]):
    """What the company's device management says."""

    posture = serializers.ChoiceField(choices=RegisteredDevice.Posture.choices)
    told_by = serializers.CharField(max_length=120, default="", allow_blank=True)


class DeviceReasonSerializer(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=2000, default="", allow_blank=True)


class DeviceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RegisteredDevice]
):
    """One's own devices; those of the tenant for who manages them."""

    decisions = {
        "list": "access.device.view",
        "retrieve": "access.device.view",
        "create": "access.device.register",
        "posture": "access.device.manage",
        "revoke": "access.device.register",
    }
    queryset = RegisteredDevice.objects.all()
    serializer_class = DeviceSerializer
    filterset_fields = ["posture", "jkt"]

    def get_queryset(self) -> QuerySet[RegisteredDevice]:
        return devices.visible_devices(principal_of(self.request))

    @extend_schema(request=NewDeviceSerializer, responses={201: DeviceSerializer})
    def create(self, request: Request) -> Response:
        """Register the device whose key signs this request's DPoP proof (for this address and POST).

        Doing it again with the same key answers with the device that is there. A browser's session is then known to be
        on that device.
        """
        given = NewDeviceSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        jkt = _proven_key(request)
        device = devices.register_device(
            principal=principal_of(request), name=given.validated_data["name"], jkt=jkt
        )
        if principal_of(request).scopes is None:
            request._request.session[SESSION_DEVICE] = jkt
        return Response(DeviceSerializer(device).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=PostureSerializer, responses=DeviceSerializer)
    @action(detail=True, methods=["post"])
    def posture(self, request: Request, pk: str) -> Response:
        """Say whether the device complies with the company's rules."""
        given = PostureSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        principal = principal_of(request)
        device = devices.set_posture(
            principal=principal,
            device_id=self.get_object().id,
            posture=Device(given.validated_data["posture"]),
            source=given.validated_data["told_by"] or principal.label,
        )
        return Response(DeviceSerializer(device).data)

    @extend_schema(request=DeviceReasonSerializer, responses=DeviceSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Forget the device for good: tokens that are bound to its key end within a second."""
        given = DeviceReasonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        device = devices.revoke_device(
            principal=principal_of(request),
            device_id=self.get_object().id,
            reason=given.validated_data["reason"],
        )
        return Response(DeviceSerializer(device).data)


def _proven_key(request: Request) -> str:
    """The thumbprint of the key that signed this request's proof. Raises InvalidInput, or Unavailable (503)."""
    plain = request._request
    if plain.headers.get("Authorization", "").partition(" ")[0].lower() == "dpop":
        # The middleware has checked this very proof and used it up.
        return check_proof(only_one(proofs_of(plain)), method="POST", urls=urls_of(plain)).jkt
    try:
        proof = check_proof(only_one(proofs_of(plain)), method="POST", urls=urls_of(plain))
        use_once(proof)
    except TokenRefused as refused:
        if refused.status >= 500:
            raise Unavailable(
                _("Proofs cannot be checked at present."), hint=_("Try again shortly.")
            ) from None
        raise InvalidInput(
            _("The device's key was not proven: %(reason)s.") % {"reason": refused.message},
            code="invalid-dpop-proof",
            hint=_("Send a DPoP header (RFC 9449) that the device's key has signed for this request."),
        ) from None
    return proof.jkt
