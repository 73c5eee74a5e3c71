"""REST: the base capabilities, what of them one's organisation has, and using one."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.ethics.use import use_of
from inference.capabilities.catalogue import capability
from inference.capabilities.rows import decoded
from inference.capabilities.selectors import present
from inference.capabilities.services import add_capabilities
from inference.capabilities.using import MOST_IMAGES, MOST_ROWS, use
from inference.serving.api import PredictionRefused
from inference.serving.errors import ProtocolError


class CapabilitySerializer(serializers.Serializer[Any]):
    """A capability with its card and figures; the ids are empty where one's organisation does not have it."""

    name = serializers.CharField(source="capability.name")
    title = serializers.CharField(source="capability.title")
    purpose = serializers.CharField(source="capability.purpose")
    takes = serializers.ChoiceField(source="capability.takes", choices=["text", "image"])
    version = serializers.CharField(source="capability.version")
    format = serializers.CharField(source="capability.format")
    sha256 = serializers.CharField(source="capability.sha256")
    licence = serializers.CharField(source="capability.licence")
    figures = serializers.DictField(source="capability.figures", child=serializers.FloatField())
    card = serializers.CharField(source="capability.card")
    endpoint = serializers.CharField(source="capability.model_name")
    model_version_id = serializers.UUIDField(source="version.id", default=None, allow_null=True)
    endpoint_id = serializers.UUIDField(source="endpoint.id", default=None, allow_null=True)
    answers = serializers.BooleanField(help_text="Whether a version stands behind its endpoint now.")


class CapabilityUseSerializer(serializers.Serializer[Any]):
    """What the capability takes: one text or picture, or several. A picture is a PNG or JPEG file in Base64."""

    text = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    texts = serializers.ListField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        required=False, min_length=1, max_length=MOST_ROWS,
    )  # fmt: skip
    image = serializers.CharField(required=False)
    images = serializers.ListField(
        child=serializers.CharField(), required=False, min_length=1, max_length=MOST_IMAGES
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Send exactly one of text, texts, image and images.")
        return attrs


class CapabilityAnswerSerializer(serializers.Serializer[Any]):
    """One answer per text or picture; what is in it depends on the capability."""

    capability = serializers.CharField()
    version = serializers.CharField()
    decision_id = serializers.UUIDField(help_text="Feedback about this answer names it.")
    propensity = serializers.FloatField()
    oversight_task = serializers.UUIDField(allow_null=True)
    answers = serializers.ListField(child=serializers.DictField())


class CapabilitiesView(APIView):
    """The base capabilities; POST adds those that one's organisation lacks."""

    decisions = {"get": "capabilities.capability.view", "post": "capabilities.capability.add"}

    @extend_schema(responses=CapabilitySerializer(many=True), operation_id="capabilities_list")
    def get(self, request: Request) -> Response:
        return Response(CapabilitySerializer(present(principal_of(request)), many=True).data)

    @extend_schema(request=None, responses=CapabilitySerializer(many=True), operation_id="capabilities_add")
    def post(self, request: Request) -> Response:
        principal = principal_of(request)
        add_capabilities(principal=principal)
        return Response(CapabilitySerializer(present(principal), many=True).data)


# The prediction runs in the event loop of `/v2`, whose look-ups have transactions of their own.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class UseCapabilityView(APIView):
    """Use a base capability. The same decision, split and models as `/v2/models/base-{name}/infer`."""

    decisions = {"post": "capabilities.capability.use"}

    @extend_schema(
        request=CapabilityUseSerializer, responses=CapabilityAnswerSerializer, operation_id="capabilities_use"
    )
    def post(self, request: Request, name: str) -> Response:
        wanted = capability(name)
        given = CapabilityUseSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        ((field, value),) = given.validated_data.items()
        values = value if isinstance(value, list) else [value]
        if field.rstrip("s") != wanted.takes:
            says = _("“%(name)s” takes text.") if wanted.takes == "text" else _("“%(name)s” takes pictures.")
            raise InvalidInput(says % {"name": wanted.name})
        content: dict[str, Any] = (
            {"images": [decoded(item) for item in values]} if wanted.takes == "image" else {"texts": values}
        )
        try:
            answer = use(
                wanted,
                principal=principal_of(request),
                request_id=getattr(request._request, "request_id", ""),
                purpose=use_of(request._request),
                **content,
            )
        except ProtocolError as error:
            raise PredictionRefused(error) from error
        return Response(CapabilityAnswerSerializer(answer).data)
