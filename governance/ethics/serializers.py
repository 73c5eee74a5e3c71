"""Approvals, evidence, uses and incidents as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from governance.ethics import incidents, selectors
from governance.ethics.models import Approval, Binding, Evidence, Incident
from governance.ethics.questionnaires.risk import because_of
from governance.ethics.terms import KINDS, parse_terms
from governance.refs import ObjectRef


class BecauseSerializer(serializers.Serializer[Any]):
    """A rule that led to the class of risk, in the caller's language."""

    rule = serializers.CharField()
    risk_class = serializers.CharField()
    article = serializers.CharField()
    because = serializers.CharField(source="sentence")


class ChecklistSerializer(serializers.Serializer[Any]):
    """One kind of evidence: whether the class of risk needs it, and what was supplied."""

    kind = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    digest = serializers.CharField(source="given.digest", default=None, allow_null=True)
    supplied_at = serializers.DateTimeField(source="given.supplied_at", default=None, allow_null=True)
    summary = serializers.JSONField(source="given.summary", default=None, allow_null=True)


class ConditionSerializer(serializers.Serializer[Any]):
    """One condition. `value` is a list of names, a percent, an amount, or a date, as the kind asks."""

    kind = serializers.ChoiceField(choices=KINDS)
    value = serializers.JSONField()


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """An approval, bound to one digest, with its class of risk, evidence and conditions."""

    because = serializers.SerializerMethodField()
    evidence = serializers.SerializerMethodField()
    missing = serializers.SerializerMethodField()
    conditions = ConditionSerializer(many=True, read_only=True)
    conditions_in_words = serializers.SerializerMethodField()

    class Meta:
        model = Approval
        fields = [
            "id",
            "subject_type",
            "subject_id",
            "subject_digest",
            "subject_label",
            "purpose",
            "questionnaire_version",
            "questionnaire",
            "risk_class",
            "because",
            "evidence",
            "missing",
            "conditions",
            "conditions_in_words",
            "state",
            "requested_at",
            "decided_at",
            "reason",
            "expires_at",
            "renews",
        ]
        read_only_fields = fields

    @extend_schema_field(BecauseSerializer(many=True))
    def get_because(self, approval: Approval) -> Any:
        rules = because_of(approval.questionnaire_version, approval.risk_because)
        return BecauseSerializer(rules, many=True).data

    @extend_schema_field(ChecklistSerializer(many=True))
    def get_evidence(self, approval: Approval) -> Any:
        return ChecklistSerializer(selectors.checklist(approval), many=True).data

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_missing(self, approval: Approval) -> list[str]:
        return [item.kind for item in selectors.missing(approval)]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_conditions_in_words(self, approval: Approval) -> list[str]:
        return parse_terms(approval.conditions).sentences()


class EthicsDecisionSerializer(serializers.Serializer[Any]):
    """A decision and why; an approval may carry conditions and end earlier than the site's longest."""

    approve = serializers.BooleanField()
    reason = serializers.CharField(max_length=4000)
    conditions = ConditionSerializer(many=True, required=False)
    valid_days = serializers.IntegerField(min_value=1, max_value=365, required=False)


class EvidenceGivenSerializer(serializers.Serializer[Any]):
    """A document of evidence: text (a model card in Markdown), or the JSON object itself."""

    kind = serializers.ChoiceField(choices=Evidence.Kind.choices)
    document = serializers.JSONField()


class EvidenceSerializer(serializers.ModelSerializer[Evidence]):
    """A document that was accepted, and what it says in short."""

    class Meta:
        model = Evidence
        fields = ["id", "kind", "digest", "summary", "document", "supplied_at"]
        read_only_fields = fields


class OptionSerializer(serializers.Serializer[Any]):
    """A possible answer; `alone` excludes all others."""

    id = serializers.CharField()
    text = serializers.CharField()
    alone = serializers.BooleanField()


class QuestionSerializer(serializers.Serializer[Any]):
    """One question.

    `text` wants at least ten characters, `confirm` true, `choice` the id of an option, `multi-choice` a list of them,
    `number` a whole number. A question with `when` is asked only if that condition on earlier answers holds.
    """

    id = serializers.CharField()
    text = serializers.CharField()
    help = serializers.CharField()
    kind = serializers.ChoiceField(choices=["text", "confirm", "choice", "multi-choice", "number"])
    section = serializers.CharField()
    when = serializers.JSONField(allow_null=True)
    options = OptionSerializer(many=True)
    minimum = serializers.IntegerField(allow_null=True)
    maximum = serializers.IntegerField(allow_null=True)
    frameworks = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class QuestionnaireSerializer(serializers.Serializer[Any]):
    """The questions in the caller's language."""

    version = serializers.CharField()
    title = serializers.CharField()
    questions = QuestionSerializer(many=True)


class BindingSerializer(serializers.ModelSerializer[Binding]):
    """An object of the tenant that needs an approval, and how that approval stands."""

    holds = serializers.SerializerMethodField()
    conditions = ConditionSerializer(many=True, read_only=True)
    conditions_in_words = serializers.SerializerMethodField()

    class Meta:
        model = Binding
        fields = [
            "id",
            "object_type",
            "object_id",
            "object_label",
            "subject_digest",
            "holds",
            "valid_until",
            "conditions",
            "conditions_in_words",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.BooleanField())
    def get_holds(self, binding: Binding) -> bool:
        return selectors.holds_now(binding)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_conditions_in_words(self, binding: Binding) -> list[str]:
        return parse_terms(binding.conditions).sentences()


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    """An incident; `report_due_at` is the deadline of Article 73, where it is a serious one."""

    class Meta:
        model = Incident
        fields = [
            "id",
            "subject_type",
            "subject_id",
            "subject_digest",
            "subject_label",
            "title",
            "description",
            "severity",
            "serious",
            "state",
            "occurred_at",
            "aware_at",
            "report_due_at",
            "reported_to",
            "reported_at",
            "corrective_action",
            "created_at",
            "closed_at",
        ]
        read_only_fields = fields


class NewIncidentSerializer(serializers.Serializer[Any]):
    """What happened, to what, how bad it is, and since when it is known."""

    subject_type = serializers.CharField(max_length=100)
    subject_id = serializers.CharField(max_length=100)
    subject_digest = serializers.RegexField(r"^[0-9a-f]{64}$", required=False, default="")
    subject_label = serializers.CharField(max_length=200, required=False, default="")
    title = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=incidents.MAX_TEXT)
    severity = serializers.ChoiceField(choices=Incident.Severity.choices)
    serious = serializers.ChoiceField(choices=Incident.Serious.choices, default=Incident.Serious.NO)
    occurred_at = serializers.DateTimeField(required=False)
    aware_at = serializers.DateTimeField(required=False)

    def subject(self) -> ObjectRef:
        """What it is about; take it out before the rest goes to the service."""
        given = self.validated_data
        return ObjectRef(
            given.pop("subject_type"),
            given.pop("subject_id"),
            given.pop("subject_digest"),
            given.pop("subject_label"),
        )


class InvestigateSerializer(serializers.Serializer[Any]):
    """Begin the investigation, and correct the judgement under Article 73 if need be."""

    serious = serializers.ChoiceField(choices=Incident.Serious.choices, required=False)


class ReportSerializer(serializers.Serializer[Any]):
    """To which authority or person it was reported."""

    reported_to = serializers.CharField(max_length=200)


class CloseSerializer(serializers.Serializer[Any]):
    """What was done so that it does not happen again."""

    corrective_action = serializers.CharField(max_length=incidents.MAX_TEXT)
