"""Console pages of the review: everything can be found and followed; verdicts are given in the workbench."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from governance.access.admin_base import (
    DecisionInline,
    DecisionModelAdmin,
    link_to,
    short_digest,
)
from governance.access.decisions import decide
from governance.access.requests import principal_of
from marketplace.review.checks.registry import CHECKS
from marketplace.review.models import (
    CheckRun,
    CheckSetting,
    Finding,
    ReviewDecision,
    Submission,
    SubmissionEvent,
)
from marketplace.review.settings import set_check


class EventInline(DecisionInline):
    """The timeline."""

    model = SubmissionEvent
    fields = ("at", "kind", "code", "actor_label", "from_state", "to_state", "message", "publisher_visible")
    readonly_fields = fields
    ordering = ("id",)


class CheckRunInline(DecisionInline):
    """The checks."""

    model = CheckRun
    fields = ("name", "state", "status", "attempts", "started_at", "finished_at")
    readonly_fields = fields
    ordering = ("position",)


class DecisionsInline(DecisionInline):
    """The verdicts."""

    model = ReviewDecision
    fields = ("reviewer", "approve", "reason", "decided_at")
    readonly_fields = fields
    ordering = ("decided_at",)


@admin.register(Submission)
class SubmissionAdmin(DecisionModelAdmin):
    """Every submission of every partner."""

    view_action = "review.submission.inspect"
    list_display = ("name", "tenant", "state", "risk_level", "due_at", "claimed_by", "created_at", "digest")
    list_filter = ("state", "risk_level", "needs_ethics", "purpose")
    search_fields = ("plugin_name", "plugin_version", "filename", "sha256", "tenant__name")
    list_select_related = ("tenant", "claimed_by")
    inlines = (CheckRunInline, DecisionsInline, EventInline)

    @admin.display(description=gettext_lazy("submission"), ordering="plugin_name")
    def name(self, submission: Submission) -> str:
        return str(submission)

    @admin.display(description=gettext_lazy("digest"))
    def digest(self, submission: Submission) -> str:
        return short_digest(submission.sha256)


class FindingInline(DecisionInline):
    """What the check found."""

    model = Finding
    fields = ("code", "severity", "message", "params", "path", "line", "evidence")
    readonly_fields = fields
    ordering = ("position",)


@admin.register(CheckRun)
class CheckRunAdmin(DecisionModelAdmin):
    """Every run of every check, with what it measured."""

    view_action = "review.check.view"
    list_display = ("name", "submission_link", "state", "status", "attempts", "took", "finished_at")
    list_filter = ("state", "status", "name")
    search_fields = ("submission__plugin_name", "submission__sha256")
    list_select_related = ("submission",)
    inlines = (FindingInline,)

    @admin.display(description=gettext_lazy("submission"), ordering="submission")
    def submission_link(self, run: CheckRun) -> str:
        return link_to(run.submission)

    @admin.display(description=gettext_lazy("milliseconds"))
    def took(self, run: CheckRun) -> int | None:
        return run.duration_ms


@admin.register(CheckSetting)
class CheckSettingAdmin(DecisionModelAdmin):
    """The switches of the checks. A check without a row here has the switches of its code."""

    view_action = "review.check.view"
    add_action = "review.check.configure"
    list_display = ("name", "enabled", "enforced", "required", "changed_at")
    fields = ("name", "enabled", "enforced", "required")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return decide(principal_of(request), "review.check.configure").allow

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("name",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "name":
            choices = [(check.name, check.title) for check in CHECKS]
            return forms.ChoiceField(label=db_field.verbose_name, choices=choices)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: CheckSetting, form: Any, change: bool) -> None:
        made = set_check(
            principal=principal_of(request),
            name=obj.name,
            enabled=obj.enabled,
            enforced=obj.enforced,
            required=obj.required,
        )
        obj.pk = made.pk
