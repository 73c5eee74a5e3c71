"""REST: stop buttons, the oversight queue, and the labels that people gave."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.errors import InvalidInput, NotFound
from governance.oversight import services, tasking, withholding
from governance.oversight.models import HumanLabel, OversightTask, Stop
from governance.oversight.stops import TYPES
from governance.refs import ObjectRef

SUBJECTS = sorted(TYPES)


class StopSerializer(serializers.ModelSerializer[Stop]):
    """A pressed stop button."""

    class Meta:
        model = Stop
        fields = [
            "id",
            "scope",
            "target_type",
            "target_id",
            "target_label",
            "state",
            "reason",
            "pressed_at",
            "release_asked_at",
            "release_reason",
            "released_at",
        ]
        read_only_fields = fields


class PressSerializer(serializers.Serializer[Any]):
    """What to stop and why. `target_*` are for an endpoint or a skill."""

    scope = serializers.ChoiceField(choices=Stop.Scope.choices)
    reason = serializers.CharField(max_length=2000)
    target_type = serializers.ChoiceField(choices=SUBJECTS, required=False)
    target_id = serializers.UUIDField(required=False)
    target_label = serializers.CharField(max_length=200, required=False, default="")


class ReleaseSerializer(serializers.Serializer[Any]):
    """Why it may go on."""

    reason = serializers.CharField(min_length=10, max_length=2000)


class StopViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Stop]):
    """Stop buttons of one's tenant, and the platform's."""

    decisions = {
        "list": "oversight.stop.view",
        "retrieve": "oversight.stop.view",
        "create": "oversight.stop.press",
        "ask_release": "oversight.stop.ask_release",
        "release": "oversight.stop.release",
    }
    queryset = Stop.objects.all()
    serializer_class = StopSerializer
    filterset_fields = ["state", "scope"]

    @extend_schema(request=PressSerializer, responses={201: StopSerializer})
    def create(self, request: Request) -> Response:
        """Press a stop button. Pressing twice changes nothing."""
        given = PressSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        stop = services.press_stop(
            principal=principal_of(request),
            scope=values["scope"],
            reason=values["reason"],
            target=ObjectRef(
                values.get("target_type", ""),
                str(values.get("target_id", "")),
                label=values["target_label"],
            ),
        )
        return Response(StopSerializer(stop).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ReleaseSerializer, responses=StopSerializer)
    @action(detail=True, methods=["post"], url_path="ask-release")
    def ask_release(self, request: Request, pk: str) -> Response:
        """The first of two people: say why it may go on."""
        given = ReleaseSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        stop = services.ask_release(
            principal=principal_of(request), stop_id=self.get_object().id, **given.validated_data
        )
        return Response(StopSerializer(stop).data)

    @extend_schema(request=None, responses=StopSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """The second of two people: release it."""
        stop = services.release_stop(principal=principal_of(request), stop_id=self.get_object().id)
        return Response(StopSerializer(stop).data)


class OversightTaskSerializer(serializers.ModelSerializer[OversightTask]):
    """One decision that a person must look at."""

    class Meta:
        model = OversightTask
        fields = [
            "id",
            "cause",
            "subject_type",
            "subject_id",
            "subject_label",
            "decision_id",
            "question",
            "options",
            "facts",
            "proposed",
            "state",
            "opened_at",
            "due_at",
            "escalated_at",
            "decided_at",
            "answer",
            "reason",
            "appeal_of",
        ]
        read_only_fields = fields


class NewTaskSerializer(serializers.Serializer[Any]):
    """A decision to put before a person."""

    subject_type = serializers.ChoiceField(choices=SUBJECTS)
    subject_id = serializers.UUIDField()
    subject_label = serializers.CharField(max_length=200, required=False, default="")
    cause = serializers.ChoiceField(
        choices=[choice for choice in OversightTask.Cause.choices if choice[0] != OversightTask.Cause.APPEAL]
    )
    question = serializers.CharField(max_length=500, required=False, default="")
    options = serializers.ListField(child=serializers.CharField(max_length=200), required=False, default=list)
    proposed = serializers.CharField(max_length=200, required=False, default="")
    decision_id = serializers.CharField(max_length=64, required=False, default="")
    facts = serializers.DictField(child=serializers.CharField(max_length=500), required=False, default=dict)
    due_minutes = serializers.IntegerField(min_value=1, max_value=43_200, required=False)


class AnswerSerializer(serializers.Serializer[Any]):
    """The person's answer and why."""

    answer = serializers.CharField(max_length=200)
    reason = serializers.CharField(max_length=4000)


class AppealSerializer(serializers.Serializer[Any]):
    """What is wrong with the decision."""

    reason = serializers.CharField(min_length=10, max_length=500)


class WithdrawSerializer(serializers.Serializer[Any]):
    """Why it is of no more use."""

    reason = serializers.CharField(max_length=500)


class OversightTaskViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[OversightTask]
):
    """The oversight queue."""

    decisions = {
        "list": "oversight.task.view",
        "retrieve": "oversight.task.view",
        "create": "oversight.task.open",
        "claim": "oversight.task.decide",
        "give_back": "oversight.task.decide",
        "decide": "oversight.task.decide",
        "appeal": "oversight.task.appeal",
        "withdraw": "oversight.task.open",
        "withheld": "oversight.task.decide",
    }
    queryset = OversightTask.objects.all()
    serializer_class = OversightTaskSerializer
    filterset_fields = ["state", "cause", "subject_id", "decision_id"]

    @extend_schema(request=NewTaskSerializer, responses={201: OversightTaskSerializer})
    def create(self, request: Request) -> Response:
        """Put a decision before a person. Idempotent per subject, decision and cause while it waits."""
        given = NewTaskSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        principal = principal_of(request)
        if principal.tenant_id is None:
            raise InvalidInput("A task belongs to a tenant.")
        subject = ObjectRef(
            values.pop("subject_type"), str(values.pop("subject_id")), label=values.pop("subject_label")
        )
        minutes = values.pop("due_minutes", None)
        task = tasking.open_task(
            principal=principal,
            subject=subject,
            tenant_id=principal.tenant_id,
            due_in=timedelta(minutes=minutes) if minutes else None,
            **values,
        )
        return Response(OversightTaskSerializer(task).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=OversightTaskSerializer)
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, pk: str) -> Response:
        """Take it, so that nobody else does."""
        return self._said(tasking.claim_task(principal=principal_of(request), task_id=self._id()))

    @extend_schema(request=None, responses=OversightTaskSerializer)
    @action(detail=True, methods=["post"], url_path="give-back")
    def give_back(self, request: Request, pk: str) -> Response:
        """Give it back to the queue."""
        return self._said(tasking.return_task(principal=principal_of(request), task_id=self._id()))

    @extend_schema(request=AnswerSerializer, responses=OversightTaskSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """The person's answer, which stands in the machine's place."""
        given = AnswerSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return self._said(
            tasking.decide_task(principal=principal_of(request), task_id=self._id(), **given.validated_data)
        )

    @extend_schema(request=AppealSerializer, responses={201: OversightTaskSerializer})
    @action(detail=True, methods=["post"])
    def appeal(self, request: Request, pk: str) -> Response:
        """Ask for somebody else's decision, once."""
        given = AppealSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = tasking.appeal(principal=principal_of(request), task_id=self._id(), **given.validated_data)
        return Response(OversightTaskSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=WithdrawSerializer, responses=OversightTaskSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take back what one opened oneself, or what is withheld from oneself and then never given."""
        given = WithdrawSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return self._said(
            tasking.withdraw_task(principal=principal_of(request), task_id=self._id(), **given.validated_data)
        )

    @extend_schema(responses={200: OpenApiTypes.BINARY}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def withheld(self, request: Request, pk: str) -> HttpResponse:
        """What the task withholds, as it would be given, for whoever decides; 404 where it withholds nothing."""
        content = withholding.look_at(principal=principal_of(request), task_id=self._id())
        if content is None:
            raise NotFound(_("This task withholds nothing, or it is kept no longer."))
        return answer_of(content)

    def _id(self) -> UUID:
        return UUID(str(self.get_object().pk))

    def _said(self, task: OversightTask) -> Response:
        return Response(OversightTaskSerializer(task).data)


class WithheldAnswerView(APIView):
    """What a person had to confirm first."""

    decisions = {"get": "oversight.answer.fetch"}

    @extend_schema(
        responses={200: OpenApiTypes.BINARY, 202: OpenApiTypes.OBJECT}, operation_id="oversight_answers_fetch"
    )
    def get(self, request: Request, task_id: UUID) -> HttpResponse:
        """The answer as it would have been given, for whoever asked and may still ask.

        202 while it waits, 403 with the reason once it is rejected, 410 when it is kept no longer.
        """
        return answer_of(withholding.fetch(principal=principal_of(request), task_id=task_id))


def answer_of(content: withholding.Content) -> HttpResponse:
    """The bytes with their type, as the face that withheld them would have sent them."""
    answer = HttpResponse(content.data, content_type=content.content_type)
    answer.headers["Cache-Control"] = "no-store"
    if content.json_bytes is not None:
        answer.headers["Inference-Header-Content-Length"] = str(content.json_bytes)
    return answer


class HumanLabelSerializer(serializers.ModelSerializer[HumanLabel]):
    """What a person decided about one answer of a machine."""

    class Meta:
        model = HumanLabel
        fields = ["id", "subject_type", "subject_id", "decision_id", "proposed", "label", "at", "in_force"]
        read_only_fields = fields


class HumanLabelViewSet(viewsets.ReadOnlyModelViewSet[HumanLabel]):
    """Ground truth from the oversight queue, for evaluation and training."""

    decisions = {"list": "oversight.task.view", "retrieve": "oversight.task.view"}
    queryset = HumanLabel.objects.all()
    serializer_class = HumanLabelSerializer
    filterset_fields = ["subject_id", "decision_id", "in_force"]
