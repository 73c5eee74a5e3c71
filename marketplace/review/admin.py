"""Console pages of submissions, check runs, findings and decisions. Reviewing itself happens in the workbench."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from governance.access.admin_base import DecisionInline, DecisionModelAdmin, link_to, short_digest
from marketplace.review.models import (
    CheckRun,
    CheckSetting,
    Finding,
    ReviewDecision,
    Submission,
    SubmissionEvent,
)


class CheckInline(DecisionInline):
    """The submission's checks."""

    model = CheckRun
    fields = ("name", "state", "status", "attempts", "started_at", "finished_at")
    readonly_fields = fields
    ordering = ("position",)


class EventInline(DecisionInline):
    """The submission's timeline."""

    model = SubmissionEvent
    fields = ("at", "kind", "actor_label", "from_state", "to_state", "message")
    readonly_fields = fields
    ordering = ("id",)


class FindingInline(DecisionInline):
    """What the check found."""

    model = Finding
    fields = ("severity", "code", "path", "line", "evidence")
    readonly_fields = fields
    ordering = ("position",)


@admin.register(Submission)
class SubmissionAdmin(DecisionModelAdmin):
    """Every upload."""

    view_action = "review.submission.inspect"
    list_display = ("__str__", "page", "tenant", "state", "risk_level", "digest", "due_at", "created_at")
    list_filter = ("state", "risk_level", "needs_ethics", ("created_at", admin.DateFieldListFilter))
    search_fields = ("plugin_name", "plugin_version", "filename", "sha256", "tenant__name")
    list_select_related = ("tenant",)
    inlines = (CheckInline, EventInline)

    @admin.display(description=_("digest"))
    def digest(self, submission: Submission) -> str:
        return short_digest(submission.sha256)

    @admin.display(description=_("workbench"))
    def page(self, submission: Submission) -> str:
        return format_html(
            '<a href="{}">{}</a>', reverse("review-submission", args=[submission.pk]), _("Open")
        )


@admin.register(CheckRun)
class CheckRunAdmin(DecisionModelAdmin):
    """Checks of submissions, with their leases."""

    view_action = "review.check.view"
    list_display = ("name", "submission_link", "state", "status", "attempts", "lease_until", "finished_at")
    list_filter = ("state", "status", "name")
    search_fields = ("name", "submission__plugin_name", "submission__sha256")
    list_select_related = ("submission",)
    inlines = (FindingInline,)

    @admin.display(description=_("submission"))
    def submission_link(self, run: CheckRun) -> str:
        return link_to(run.submission)


@admin.register(Finding)
class FindingAdmin(DecisionModelAdmin):
    """Findings across submissions."""

    view_action = "review.check.view"
    list_display = ("code", "severity", "run_link", "path", "line")
    list_filter = ("severity", "run__name")
    search_fields = ("code", "path", "run__submission__plugin_name")
    list_select_related = ("run__submission",)

    @admin.display(description=_("check run"))
    def run_link(self, finding: Finding) -> str:
        return link_to(finding.run)


@admin.register(SubmissionEvent)
class SubmissionEventAdmin(DecisionModelAdmin):
    """Append-only timeline lines of all submissions."""

    view_action = "review.submission.inspect"
    list_display = ("at", "submission", "kind", "actor_label", "from_state", "to_state")
    list_filter = ("kind", "to_state", ("at", admin.DateFieldListFilter))
    search_fields = ("submission__plugin_name", "actor_label", "message")
    list_select_related = ("submission",)


@admin.register(ReviewDecision)
class ReviewDecisionAdmin(DecisionModelAdmin):
    """Verdicts."""

    view_action = "review.submission.inspect"
    list_display = ("decided_at", "submission_link", "reviewer", "approve", "reason")
    list_filter = ("approve", ("decided_at", admin.DateFieldListFilter))
    search_fields = ("submission__plugin_name", "reviewer__username", "reason")
    list_select_related = ("submission", "reviewer")

    @admin.display(description=_("submission"))
    def submission_link(self, decision: ReviewDecision) -> str:
        return link_to(decision.submission)


@admin.register(CheckSetting)
class CheckSettingAdmin(DecisionModelAdmin):
    """Switches of the checks that an administrator has moved."""

    view_action = "review.check.view"
    list_display = ("name", "enabled", "enforced", "required", "changed_at")
    search_fields = ("name",)
