"""REST: evidence bundles."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.ethics.bundles.services import TYPES, Bundle, Form, export_bundle
from governance.ethics.bundles.signing import KEY, key_document
from governance.keys.providers import public_keys
from governance.refs import ObjectRef


class BundleKeySerializer(serializers.Serializer[Any]):
    """A public key that signs bundles, as `openclaw ethics verify-bundle --key` reads it."""

    keyid = serializers.CharField()
    keytype = serializers.CharField()
    scheme = serializers.CharField()
    keyval = serializers.DictField(child=serializers.CharField())


class BundleKeyView(APIView):
    """The keys that bundles are signed with."""

    decisions = {"get": "ethics.bundle.export"}

    @extend_schema(responses=BundleKeySerializer(many=True), operation_id="evidence_bundle_keys")
    def get(self, request: Request) -> Response:
        """Every key that this site has signed bundles with."""
        return Response([key_document(key) for key in public_keys(KEY)])


class BundleView(APIView):
    """Everything known about one model version, signed."""

    decisions = {"get": "ethics.bundle.export"}

    @extend_schema(
        operation_id="evidence_bundle",
        parameters=[
            OpenApiParameter(
                "as", str, enum=sorted(TYPES), description="zip (signed, the default), json or pdf"
            )
        ],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, kind: str, object_id: UUID) -> HttpResponse:
        """Purpose, data, tests, approvals, incidents and changes of an object (`registry.modelversion`)."""
        form = request.query_params.get("as", "zip")
        if form not in TYPES:
            raise InvalidInput(
                _("A bundle comes as %(forms)s.") % {"forms": ", ".join(sorted(TYPES))},
            )
        return download(
            export_bundle(
                principal=principal_of(request),
                target=ObjectRef(kind[:100], str(object_id)),
                form=cast(Form, form),
            )
        )


def download(bundle: Bundle) -> HttpResponse:
    """The answer that a browser keeps as a file."""
    response = HttpResponse(bundle.data, content_type=bundle.media_type)
    response["Content-Disposition"] = f'attachment; filename="{bundle.name}"'
    response["X-Content-SHA256"] = bundle.sha256
    response["Cache-Control"] = "no-store"
    return response
