"""Console pages of batch jobs and their shards."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from governance.access.admin_base import DecisionInline, DecisionModelAdmin, link_to
from inference.serving.models import BatchJob, BatchShard


class ShardInline(DecisionInline):
    """The job's parts."""

    model = BatchShard
    fields = ("index", "state", "row_count", "rows_done", "rows_bad", "attempts", "lease_until")
    readonly_fields = fields
    ordering = ("index",)


@admin.register(BatchJob)
class BatchJobAdmin(DecisionModelAdmin):
    """Predictions over files."""

    view_action = "serving.batch.view"
    list_display = (
        "filename",
        "page",
        "endpoint_link",
        "state",
        "row_count",
        "rows_bad",
        "created_by_label",
        "created_at",
    )
    list_filter = ("state", "format", ("created_at", admin.DateFieldListFilter))
    search_fields = ("filename", "endpoint__name", "created_by_label", "request_id")
    list_select_related = ("endpoint", "model_version")
    inlines = (ShardInline,)

    @admin.display(description=_("endpoint"), ordering="endpoint__name")
    def endpoint_link(self, job: BatchJob) -> str:
        return link_to(job.endpoint)

    @admin.display(description=_("progress"))
    def page(self, job: BatchJob) -> str:
        return format_html('<a href="{}">{}</a>', reverse("batch-job", args=[job.pk]), _("Open"))


@admin.register(BatchShard)
class BatchShardAdmin(DecisionModelAdmin):
    """Parts of jobs, with their leases."""

    view_action = "serving.batch.view"
    list_display = (
        "job_link",
        "index",
        "state",
        "row_count",
        "rows_done",
        "attempts",
        "lease_until",
        "finished_at",
    )
    list_display_links = ("index",)
    list_filter = ("state",)
    search_fields = ("job__filename",)
    list_select_related = ("job",)

    @admin.display(description=_("batch job"))
    def job_link(self, shard: BatchShard) -> str:
        return link_to(shard.job)
