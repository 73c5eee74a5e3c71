"""REST: versions of policies, their way into force, and what-if."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.policies import selectors, services
from governance.policies.decision_api import DecisionRecordViewSet
from governance.policies.models import PolicyVersion
from governance.policies.validation import as_error, problems_of
from governance.policies.what_if import what_if

__all__ = ["DecisionRecordViewSet", "PolicyVersionViewSet"]


class PolicyVersionSerializer(serializers.ModelSerializer[PolicyVersion]):
    """One text of a tenant's policies, in Cedar's language, and where it stands."""

    class Meta:
        model = PolicyVersion
        fields = [
            "id",
            "tenant",
            "number",
            "state",
            "text",
            "digest",
            "note",
            "replaces",
            "author",
            "activated_by",
            "reason",
            "created_at",
            "proposed_at",
            "activated_at",
            "ended_at",
        ]
        read_only_fields = fields


class PolicyDraftSerializer(serializers.Serializer[Any]):
    """A text to keep as a draft. `tenant` is for platform administrators; without it, one's own."""

    text = serializers.CharField(allow_blank=True, trim_whitespace=False)
    note = serializers.CharField(max_length=1000, allow_blank=True, default="")
    tenant = serializers.UUIDField(required=False)


class PolicyTextSerializer(serializers.Serializer[Any]):
    """A text to look at; nothing is kept."""

    text = serializers.CharField(allow_blank=True, trim_whitespace=False)


class PolicyReasonSerializer(serializers.Serializer[Any]):
    """Why; it is kept with the step."""

    reason = serializers.CharField(max_length=1000, allow_blank=True, default="")


class PolicyProblemSerializer(serializers.Serializer[Any]):
    """One mistake. Lines and columns count from 1; `policy` is the @id where there is one."""

    line = serializers.IntegerField()
    column = serializers.IntegerField()
    policy = serializers.CharField()
    message = serializers.CharField()
    help = serializers.CharField()


class PolicyCheckSerializer(serializers.Serializer[Any]):
    """Whether a text could be proposed, with every mistake."""

    valid = serializers.BooleanField()
    problems = PolicyProblemSerializer(many=True)


class WhatIfRequestSerializer(serializers.Serializer[Any]):
    """The text to try on the recorded decisions of the last hours."""

    text = serializers.CharField(allow_blank=True, trim_whitespace=False)
    hours = serializers.IntegerField(default=24, min_value=1, max_value=168)
    tenant = serializers.UUIDField(required=False)


class PolicyDifferenceSerializer(serializers.Serializer[Any]):
    """One thing that somebody does, answered otherwise. `enforced` is false where it only changes what a page shows."""

    principal = serializers.CharField()
    action = serializers.CharField()
    target = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    policies = serializers.ListField(child=serializers.CharField())
    reasons = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField()
    enforced = serializers.BooleanField()


class WhatIfReportSerializer(serializers.Serializer[Any]):
    """What a text would have decided. `refused` and `allowed` count decisions that would newly be so."""

    since = serializers.DateTimeField()
    examined = serializers.IntegerField(help_text="Distinct questions that were looked at.")
    decisions = serializers.IntegerField(
        help_text="How often they were asked: all recorded decisions since then."
    )
    refused = serializers.IntegerField()
    allowed = serializers.IntegerField()
    not_replayable = serializers.IntegerField(help_text="Questions of which only the count was kept.")
    more = serializers.IntegerField(help_text="Differences that are not listed.")
    differences = PolicyDifferenceSerializer(many=True)


class PolicyVersionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PolicyVersion]
):
    """The versions of one's tenant's policies; of every tenant's for platform roles."""

    decisions = {
        "list": "policies.version.view",
        "retrieve": "policies.version.view",
        "create": "policies.version.draft",
        "update": "policies.version.draft",
        "validate": "policies.version.view",
        "what_if": "policies.decision.view",
        "propose": "policies.version.propose",
        "activate": "policies.version.activate",
        "withdraw": "policies.version.withdraw",
        "roll_back": "policies.version.propose",
    }
    queryset = PolicyVersion.objects.all()
    serializer_class = PolicyVersionSerializer
    filterset_fields = ["state", "number", "tenant"]

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        return selectors.visible_versions(principal_of(self.request))

    @extend_schema(request=PolicyDraftSerializer, responses={201: PolicyVersionSerializer})
    def create(self, request: Request) -> Response:
        """Keep a text as a draft, which has no effect and may still have mistakes."""
        given = _given(PolicyDraftSerializer, request)
        version = services.save_draft(
            principal=principal_of(request),
            text=given["text"],
            note=given["note"],
            tenant_id=given.get("tenant"),
        )
        return Response(PolicyVersionSerializer(version).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=PolicyDraftSerializer, responses=PolicyVersionSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Change one's own draft."""
        given = _given(PolicyDraftSerializer, request)
        version = services.save_draft(
            principal=principal_of(request), text=given["text"], note=given["note"], version_id=self._id()
        )
        return Response(PolicyVersionSerializer(version).data)

    @extend_schema(request=PolicyTextSerializer, responses=PolicyCheckSerializer)
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        """Every mistake of a text, with its line and what to do; nothing is kept."""
        problems = problems_of(_given(PolicyTextSerializer, request)["text"])
        body = {"valid": not problems, "problems": [as_error(problem) for problem in problems]}
        return Response(PolicyCheckSerializer(body).data)

    @extend_schema(request=WhatIfRequestSerializer, responses=WhatIfReportSerializer)
    @action(detail=False, methods=["post"], url_path="what-if")
    def what_if(self, request: Request) -> Response:
        """What a text would have decided over the recorded decisions; nothing is kept."""
        given = _given(WhatIfRequestSerializer, request)
        principal = principal_of(request)
        report = what_if(
            principal=principal,
            tenant_id=given.get("tenant") or principal.tenant_id,
            text=given["text"],
            hours=given["hours"],
        )
        return Response(WhatIfReportSerializer(report).data)

    @extend_schema(request=None, responses=PolicyVersionSerializer)
    @action(detail=True, methods=["post"])
    def propose(self, request: Request, pk: str) -> Response:
        """Put one's own draft before a second person."""
        version = services.propose(principal=principal_of(request), version_id=self._id())
        return Response(PolicyVersionSerializer(version).data)

    @extend_schema(request=PolicyReasonSerializer, responses=PolicyVersionSerializer)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str) -> Response:
        """Put a proposed version in force, everywhere within a second. Never by its author."""
        reason = _given(PolicyReasonSerializer, request)["reason"]
        version = services.activate(principal=principal_of(request), version_id=self._id(), reason=reason)
        return Response(PolicyVersionSerializer(version).data)

    @extend_schema(request=PolicyReasonSerializer, responses=PolicyVersionSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take a draft or a proposal back, for good."""
        reason = _given(PolicyReasonSerializer, request)["reason"]
        version = services.withdraw(principal=principal_of(request), version_id=self._id(), reason=reason)
        return Response(PolicyVersionSerializer(version).data)

    @extend_schema(request=PolicyReasonSerializer, responses={201: PolicyVersionSerializer})
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request, pk: str) -> Response:
        """Propose a version that was in force before, as a new version for a second person."""
        reason = _given(PolicyReasonSerializer, request)["reason"]
        version = services.roll_back(principal=principal_of(request), version_id=self._id(), reason=reason)
        return Response(PolicyVersionSerializer(version).data, status=status.HTTP_201_CREATED)

    def _id(self) -> UUID:
        return self.get_object().id


def _given(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
