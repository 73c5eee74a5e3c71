"""Console pages of ethics approvals."""

from __future__ import annotations

from django.contrib import admin

from governance.access.admin_base import DecisionModelAdmin
from governance.ethics.models import Approval


@admin.register(Approval)
class ApprovalAdmin(DecisionModelAdmin):
    """Every approval, with its answers. Decisions are made on the ethics pages."""

    view_action = "ethics.approval.view"
    list_display = (
        "subject_label",
        "purpose",
        "risk_class",
        "state",
        "requested_by",
        "requested_at",
        "decided_by",
        "expires_at",
    )
    list_filter = ("state", "risk_class", "purpose")
    search_fields = ("subject_label", "subject_id", "subject_digest")
    list_select_related = ("requested_by", "decided_by")
