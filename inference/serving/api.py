"""REST: one prediction, for those who do not speak the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.errors import DomainError
from governance.ethics.use import use_of
from governance.oversight.withholding import WaitsForAPerson
from inference.serving.asgi import application
from inference.serving.errors import ProtocolError
from inference.serving.predict import MAX_ROWS, predict
from inference.serving.referrals import AnswerWithheld


class PredictionRequestSerializer(serializers.Serializer[Any]):
    """Rows: each an object of inputs without the batch dimension, or the bare value where the model has one input."""

    rows = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=MAX_ROWS)
    version = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)


class PredictionSerializer(serializers.Serializer[Any]):
    """An output object per row, and which version answered."""

    endpoint = serializers.CharField()
    version = serializers.CharField()
    prediction_id = serializers.UUIDField()
    decision_id = serializers.UUIDField(help_text="Feedback about this answer names it.")
    propensity = serializers.FloatField(help_text="The probability with which this version was chosen.")
    oversight_task = serializers.UUIDField(
        allow_null=True, help_text="Set where a person looks at the answer because the model was not sure."
    )
    predictions = serializers.ListField(child=serializers.DictField())


class PredictionRefused(DomainError):
    """A refusal of the hot route, as problem details."""

    code = "prediction-refused"

    def __init__(self, error: ProtocolError) -> None:
        super().__init__(error.message)
        self.status = error.status
        self.retry_after_s = int(dict(error.headers).get(b"retry-after", 0)) or None
        if isinstance(error, AnswerWithheld):
            self.code = WaitsForAPerson.code
            self.errors = [{"pointer": "/oversight_task", "detail": str(error.task_id)}]


# The prediction runs in the event loop of `/v2`, whose look-ups have transactions of their own.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class PredictView(APIView):
    """Predict a few rows. The same decision, split and models as `/v2/models/{name}/infer`.

    202 says that a person must confirm the answer first; `/oversight-answers/{task}/` then has it as `/v2` gives it.
    """

    decisions = {"post": "serving.prediction.request"}

    @extend_schema(
        request=PredictionRequestSerializer, responses=PredictionSerializer, operation_id="endpoints_predict"
    )
    def post(self, request: Request, name: str) -> Response:
        given = PredictionRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            answer = async_to_sync(predict)(
                application,
                principal=principal_of(request),
                name=name,
                rows=given.validated_data["rows"],
                version=given.validated_data["version"],
                request_id=getattr(request._request, "request_id", ""),
                use=use_of(request._request),
            )
        except ProtocolError as error:
            raise PredictionRefused(error) from error
        return Response(answer)
