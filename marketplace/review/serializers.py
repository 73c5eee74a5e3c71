"""The JSON shapes of submissions, shared by the REST API and the live socket."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from governance.principals import Principal
from marketplace.catalog.risk import HIGH_RISK_PURPOSES
from marketplace.review import selectors
from marketplace.review.models import Submission

TURNS = ["publisher", "reviewer", "ethics", "platform", "nobody"]


class FindingSerializer(serializers.Serializer[Any]):
    """One observation of a check."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=["info", "warn", "critical"])
    message = serializers.CharField()
    path = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    evidence = serializers.CharField()


class CheckSerializer(serializers.Serializer[Any]):
    """A check of this submission; `status` is empty until it has ended."""

    name = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    state = serializers.ChoiceField(choices=["queued", "running", "done"])
    status = serializers.CharField(help_text="PASSED, FLAGGED, REJECTED, ERROR, or empty.")
    message = serializers.CharField()
    enforced = serializers.BooleanField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # a field of that name
    attempts = serializers.IntegerField()
    duration_ms = serializers.IntegerField(allow_null=True)
    findings = FindingSerializer(many=True)


class TimelineStepSerializer(serializers.Serializer[Any]):
    """One thing that happened; `message` is what a person wrote."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    code = serializers.CharField()
    text = serializers.CharField()
    message = serializers.CharField()
    actor = serializers.CharField()
    side = serializers.ChoiceField(choices=TURNS[:-1])
    from_state = serializers.CharField()
    to_state = serializers.CharField()


class EthicsSerializer(serializers.Serializer[Any]):
    """Where the ethics approval stands."""

    needed = serializers.BooleanField()
    state = serializers.CharField(
        help_text="not_needed, questionnaire_missing, requested, approved or refused."
    )
    reason = serializers.CharField()
    approval_id = serializers.UUIDField(allow_null=True)


class SubmissionListSerializer(serializers.ModelSerializer[Submission]):
    """A submission in a list."""

    state_label = serializers.CharField(source="get_state_display", read_only=True)
    whose_turn = serializers.SerializerMethodField()
    claimed = serializers.SerializerMethodField()

    class Meta:
        model = Submission
        fields = [
            "id",
            "plugin_name",
            "plugin_version",
            "filename",
            "sha256",
            "size_bytes",
            "state",
            "state_label",
            "state_changed_at",
            "created_at",
            "purpose",
            "risk_level",
            "needs_ethics",
            "due_at",
            "whose_turn",
            "claimed",
        ]
        read_only_fields = fields

    def get_whose_turn(self, submission: Submission) -> str:
        return selectors.turn_of(submission)[0]

    def get_claimed(self, submission: Submission) -> bool:
        return submission.claimed_by_id is not None


class SubmissionSerializer(SubmissionListSerializer):
    """A submission with all that happened to it."""

    next_step = serializers.CharField(read_only=True)
    plugin_version_id = serializers.UUIDField(source="version_id", allow_null=True, read_only=True)
    overdue = serializers.BooleanField(read_only=True)
    ethics = EthicsSerializer(read_only=True)
    timeline = TimelineStepSerializer(many=True, read_only=True)
    checks = CheckSerializer(many=True, read_only=True)

    class Meta(SubmissionListSerializer.Meta):
        fields = [
            *SubmissionListSerializer.Meta.fields,
            "next_step",
            "plugin_version_id",
            "overdue",
            "ethics",
            "timeline",
            "checks",
        ]
        read_only_fields = fields


def submission_json(submission: Submission, *, principal: Principal) -> dict[str, Any]:
    """The submission as this reader may see it."""
    view = selectors.view_of(submission, principal=principal)
    return dict(SubmissionListSerializer(submission).data) | {
        "whose_turn": view.whose_turn,
        "next_step": view.next_step,
        "plugin_version_id": str(submission.version_id) if submission.version_id else None,
        "overdue": view.overdue,
        "ethics": EthicsSerializer(view.ethics).data,
        "timeline": TimelineStepSerializer(view.timeline, many=True).data,
        "checks": CheckSerializer(view.checks, many=True).data,
    }


class UploadSerializer(serializers.Serializer[Any]):
    """A packed plugin (ZIP), and the answers to the ethics questionnaire if its purpose is a high-risk one."""

    file = serializers.FileField()
    questionnaire = serializers.CharField(
        required=False, allow_blank=True, max_length=60_000, help_text="JSON: question id to answer."
    )


class QuestionnaireAnswersSerializer(serializers.Serializer[Any]):
    """Answers by question id."""

    answers = serializers.DictField()


class MessageSerializer(serializers.Serializer[Any]):
    """What one side writes to the other."""

    message = serializers.CharField(max_length=8000)


class ReasonSerializer(serializers.Serializer[Any]):
    """Why, if one wants to say."""

    reason = serializers.CharField(max_length=8000, required=False, allow_blank=True, default="")


class RetrySerializer(serializers.Serializer[Any]):
    """Which check to run again; empty: all that ended in an error."""

    name = serializers.CharField(max_length=60, required=False, allow_blank=True, default="")


class VerdictSerializer(serializers.Serializer[Any]):
    """A verdict and why. `purpose` is a high-risk one that the reviewer found; empty: it is as declared."""

    approve = serializers.BooleanField()
    reason = serializers.CharField(max_length=8000)
    purpose = serializers.ChoiceField(
        choices=sorted(HIGH_RISK_PURPOSES), required=False, allow_blank=True, default=""
    )


class ArchiveFileSerializer(serializers.Serializer[Any]):
    """A file of the package."""

    path = serializers.CharField()
    size_bytes = serializers.IntegerField()


class FileContentSerializer(ArchiveFileSerializer):
    """Its text."""

    text = serializers.CharField()
    is_text = serializers.BooleanField()
    truncated = serializers.BooleanField()


class FileChangeSerializer(serializers.Serializer[Any]):
    """One file that differs."""

    path = serializers.CharField()
    kind = serializers.ChoiceField(choices=["added", "removed", "changed"])
    is_text = serializers.BooleanField()
    truncated = serializers.BooleanField()
    diff = serializers.ListField(child=serializers.CharField())


class DiffSerializer(serializers.Serializer[Any]):
    """What differs from version `base`; without one everything is new. Models and skills: +new, -gone, ~changed."""

    base = serializers.CharField()
    files = FileChangeSerializer(many=True)
    unchanged = serializers.IntegerField()
    permissions_added = serializers.ListField(child=serializers.CharField())
    permissions_removed = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(child=serializers.CharField())
    skills = serializers.ListField(child=serializers.CharField())
    purpose = serializers.ListField(child=serializers.CharField(), allow_null=True)
    data_labels_added = serializers.ListField(child=serializers.CharField())
