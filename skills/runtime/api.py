"""REST: the skills of one's tenant, and calling them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.access.requests import principal_of
from governance.ethics.use import use_of
from skills.library import services as library
from skills.library.models import Skill, SkillVersion
from skills.library.selectors import visible_skills
from skills.runtime.services import invoke_skill


class SkillVersionSerializer(serializers.ModelSerializer[SkillVersion]):
    """A version of a skill with what it takes and gives."""

    class Meta:
        model = SkillVersion
        fields = [
            "id", "version", "state", "entrypoint", "input_schema", "output_schema", "timeout_s", "memory_mb",
            "permissions", "sha256", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class SkillSerializer(serializers.ModelSerializer[Skill]):
    """A skill and the version that answers."""

    active_version = SkillVersionSerializer(read_only=True)

    class Meta:
        model = Skill
        fields = ["id", "name", "created_at", "active_version"]
        read_only_fields = fields


class SkillViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Skill]):
    """The skills of one's tenant, by name."""

    decisions = {"list": "library.skill.view", "retrieve": "library.skill.view"}
    queryset = Skill.objects.all()
    serializer_class = SkillSerializer
    lookup_field = "name"
    lookup_value_regex = "[a-z0-9-]+"

    def get_queryset(self) -> Any:
        return visible_skills(principal_of(self.request))


class InvokeSerializer(serializers.Serializer[Any]):
    """What a call takes. `input` must fit the skill's input schema."""

    input = serializers.JSONField()
    version = serializers.CharField(required=False, max_length=64)


class AnswerSerializer(serializers.Serializer[Any]):
    """What a call gives."""

    output = serializers.JSONField()
    call_id = serializers.UUIDField()
    skill = serializers.CharField()
    version = serializers.CharField()
    sha256 = serializers.CharField()
    wall_s = serializers.FloatField()


# A call takes seconds; it opens its own short transactions.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class InvokeView(APIView):
    """Call a skill. 502 and 504 say that the skill itself failed, 503 that it cannot be run now."""

    decisions = {"post": "runtime.skill.request"}

    @extend_schema(request=InvokeSerializer, responses=AnswerSerializer, operation_id="skills_invoke")
    def post(self, request: Request, name: str) -> Response:
        given = InvokeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        result = invoke_skill(
            principal=principal_of(request),
            name=name,
            payload=given.validated_data["input"],
            version=given.validated_data.get("version"),
            use=use_of(request._request),
        )
        return Response(AnswerSerializer(result).data)


class SkillGrantView(APIView):
    """Which OAuth 2.0 clients may call a skill."""

    decisions = {"put": "access.grant.manage", "delete": "access.grant.manage"}

    @extend_schema(request=None, responses={204: None}, operation_id="skills_grant")
    def put(self, request: Request, name: str, application_id: UUID) -> Response:
        """Let the application call the skill."""
        skill = get_object_or_404(visible_skills(principal_of(request)), name=name)
        library.grant_invoke(
            principal=principal_of(request), skill_id=skill.id, application_id=application_id
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses={204: None}, operation_id="skills_revoke")
    def delete(self, request: Request, name: str, application_id: UUID) -> Response:
        """Take the right away."""
        skill = get_object_or_404(visible_skills(principal_of(request)), name=name)
        library.revoke_invoke(
            principal=principal_of(request), skill_id=skill.id, application_id=application_id
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
