"""REST: rollouts, their evidence, and the steps that a person takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from inference.rollouts import rollout_services
from inference.rollouts.bandit_rollouts import start_bandit
from inference.rollouts.experiment_rollouts import start_experiment
from inference.rollouts.models import Rollout, RolloutLook
from inference.rollouts.plans import METRICS
from inference.rollouts.selectors import visible_rollouts

PLAN_HELP = (
    "Of a canary: `steps`, `guardrails`, `alpha`, `baseline`, `look_every_s`, `no_traffic_s`. A guardrail has a "
    f"`metric` ({', '.join(METRICS)}), a `tolerance`, `min_samples` and the `evidence` that promotion waits for "
    "(no_harm, samples, none). drift_prediction and drift_confidence compare how classes and confidences are "
    "distributed with the stable version in the same time; their tolerance is a population stability index (0.25), "
    "and they wait for samples or none. drift_reference compares the new version's inputs and predictions with its "
    "training reference, which it must have."
)


class RolloutLookSerializer(serializers.ModelSerializer[RolloutLook]):
    """One look with everything that it rests on."""

    class Meta:
        model = RolloutLook
        fields = ["number", "step", "at", "verdict", "action", "reason", "judgement"]
        read_only_fields = fields


class RolloutSerializer(serializers.ModelSerializer[Rollout]):
    """A rollout and where it stands."""

    stable = serializers.CharField(source="stable.version", read_only=True)
    candidate = serializers.CharField(source="candidate.version", read_only=True, allow_null=True)
    question = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The oversight task that the rollout waits for."
    )

    class Meta:
        model = Rollout
        fields = [
            "id", "endpoint", "kind", "state", "stable", "candidate", "plan", "before", "step",
            "step_started_at", "looks", "looked_at", "reason", "ended_reason", "question", "started_by_label",
            "started_at", "ended_at",
        ]  # fmt: skip
        read_only_fields = fields


class RolloutDetailSerializer(RolloutSerializer):
    """A rollout with its newest look."""

    last_look = serializers.SerializerMethodField()

    class Meta(RolloutSerializer.Meta):
        fields = [*RolloutSerializer.Meta.fields, "last_look"]
        read_only_fields = fields

    @extend_schema_field(RolloutLookSerializer(allow_null=True))
    def get_last_look(self, rollout: Rollout) -> Any:
        look = rollout.evidence.first()
        return RolloutLookSerializer(look).data if look is not None else None


class NewRolloutSerializer(serializers.Serializer[Any]):
    """What is brought in, and how. What the plan leaves out has a default."""

    endpoint = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Rollout.Kind.choices)
    version = serializers.CharField(
        max_length=64,
        required=False,
        default="",
        allow_blank=True,
        help_text="Of a canary or blue-green rollout.",
    )
    versions = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        default=list,
        max_length=10,
        help_text="Of a bandit: what competes with the version that has all traffic.",
    )
    plan = serializers.DictField(required=False, default=dict, help_text=PLAN_HELP)
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)


class StepSerializer(serializers.Serializer[Any]):
    """Why, and (to be safe against somebody who was quicker) how the rollout stood when it was looked at."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=1000)
    expected_state = serializers.CharField(required=False, default="", allow_blank=True, max_length=11)
    expected_step = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=0)


class HoldSerializer(StepSerializer):
    """As for every step; whoever is asked how it goes on is told the reason."""

    reason = serializers.CharField(max_length=1000)


class PromotionSerializer(StepSerializer):
    """As for every step; where several versions compete also which one wins."""

    version = serializers.CharField(required=False, default="", allow_blank=True, max_length=64)


class RolloutViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Rollout]):
    """The rollouts of one's tenant."""

    decisions = {
        "list": "rollouts.endpoint.view",
        "retrieve": "rollouts.endpoint.view",
        "looks": "rollouts.endpoint.view",
        "create": "rollouts.endpoint.split",
        "promote": "rollouts.endpoint.split",
        "rollback": "rollouts.endpoint.split",
        "cancel": "rollouts.endpoint.split",
        "resume": "rollouts.endpoint.split",
        "hold": "rollouts.endpoint.split",
    }
    queryset = Rollout.objects.all()
    serializer_class = RolloutSerializer
    filterset_fields = ["endpoint", "state", "kind"]
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> Any:
        return visible_rollouts(principal_of(self.request))

    @extend_schema(responses=RolloutDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One rollout with its newest look."""
        return self._detail(self.get_object())

    @extend_schema(request=NewRolloutSerializer, responses={201: RolloutDetailSerializer})
    def create(self, request: Request) -> Response:
        """Begin to bring a version in; the controller takes it from there."""
        given = NewRolloutSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        common = {
            "principal": principal_of(request),
            "endpoint_id": values["endpoint"],
            "plan": values["plan"],
            "reason": values["reason"],
        }
        if values["kind"] == Rollout.Kind.BANDIT:
            made = start_bandit(versions=values["versions"], **common)
        elif values["kind"] == Rollout.Kind.EXPERIMENT:
            made = start_experiment(**common)
        else:
            made = rollout_services.start_rollout(kind=values["kind"], version=values["version"], **common)
        return self._detail(self.get_queryset().get(pk=made.pk), status=status.HTTP_201_CREATED)

    @extend_schema(request=PromotionSerializer, responses=RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        """Give the new version everything."""
        return self._step(rollout_services.promote, PromotionSerializer)

    @extend_schema(request=StepSerializer, responses=RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        """Return to the split from before, because the new version is worse."""
        return self._step(rollout_services.roll_back_rollout)

    @extend_schema(request=StepSerializer, responses=RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Return to the split from before without a judgement."""
        return self._step(rollout_services.cancel_rollout)

    @extend_schema(request=StepSerializer, responses=RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Look at the present step once more."""
        return self._step(rollout_services.resume)

    @extend_schema(request=HoldSerializer, responses=RolloutDetailSerializer)
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, pk: str) -> Response:
        """Leave the traffic as it is until a person decides."""
        return self._step(rollout_services.hold, HoldSerializer)

    @extend_schema(responses=RolloutLookSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_fields=[])
    def looks(self, request: Request, pk: str) -> Response:
        """The evidence, newest first."""
        evidence: Any = self.get_object().evidence.all()
        page: Any = self.paginate_queryset(evidence)
        return self.get_paginated_response(RolloutLookSerializer(page, many=True).data)

    def _step(self, service: Callable[..., Rollout], form: type[StepSerializer] = StepSerializer) -> Response:
        given = form(data=self.request.data)
        given.is_valid(raise_exception=True)
        service(principal=principal_of(self.request), rollout_id=self.get_object().id, **given.validated_data)
        return self._detail(self.get_object())

    def _detail(self, rollout: Rollout, **options: Any) -> Response:
        return Response(RolloutDetailSerializer(rollout).data, **options)
