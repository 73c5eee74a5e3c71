"""REST: oversight rules."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.errors import InvalidInput
from governance.oversight import ruling
from governance.oversight.api import SUBJECTS
from governance.oversight.models import OversightRule
from governance.refs import ObjectRef


class OversightRuleSerializer(serializers.ModelSerializer[OversightRule]):
    """When an endpoint's or skill's answers go to a person. `confidence_below` is for endpoints, from 0 to 1;
    with `withhold`, such an answer is given only once a person has confirmed it."""

    target_type = serializers.ChoiceField(choices=SUBJECTS)
    target_id = serializers.UUIDField()
    options = serializers.ListField(child=serializers.CharField(max_length=200), required=False, default=list)

    class Meta:
        model = OversightRule
        fields = [
            "id",
            "target_type",
            "target_id",
            "target_label",
            "question",
            "options",
            "confidence_below",
            "output",
            "withhold",
            "due_minutes",
        ]
        read_only_fields = ["id"]


class OversightRuleViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[OversightRule]
):
    """Oversight rules of one's tenant."""

    decisions = {
        "list": "oversight.task.view",
        "retrieve": "oversight.task.view",
        "create": "oversight.rule.manage",
        "destroy": "oversight.rule.manage",
    }
    queryset = OversightRule.objects.all()
    serializer_class = OversightRuleSerializer
    filterset_fields = ["target_id"]

    @extend_schema(request=OversightRuleSerializer, responses=OversightRuleSerializer)
    def create(self, request: Request) -> Response:
        """Set the rule of an endpoint or a skill; there is one each."""
        given = OversightRuleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(given.validated_data)
        principal = principal_of(request)
        if principal.tenant_id is None:
            raise InvalidInput("A rule belongs to a tenant.")
        target = ObjectRef(
            values["target_type"], str(values["target_id"]), label=values.get("target_label", "")
        )
        rule = ruling.save_rule(
            principal=principal,
            target=target,
            tenant_id=principal.tenant_id,
            question=values["question"],
            options=values["options"],
            confidence_below=values.get("confidence_below"),
            output=values.get("output", ""),
            due_minutes=values.get("due_minutes", 240),
            withhold=values.get("withhold", False),
        )
        return Response(OversightRuleSerializer(rule).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a rule."""
        ruling.remove_rule(principal=principal_of(request), rule_id=self.get_object().id)
        return Response(status=status.HTTP_204_NO_CONTENT)
