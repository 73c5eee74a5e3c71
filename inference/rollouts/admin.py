"""Console pages of endpoints, their history and their outcomes. Traffic is moved on the endpoint's own page."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from governance.access.admin_base import DecisionInline, DecisionModelAdmin, link_to
from inference.rollouts.models import Endpoint, EndpointArm, OutcomeRecord, SplitChange


class ArmInline(DecisionInline):
    """The split."""

    model = EndpointArm
    fields = ("model_version", "weight")
    readonly_fields = fields


class ChangeInline(DecisionInline):
    """The history."""

    model = SplitChange
    fields = ("at", "kind", "before", "after", "actor_label", "reason")
    readonly_fields = fields


@admin.register(Endpoint)
class EndpointAdmin(DecisionModelAdmin):
    """Endpoints by tenant."""

    view_action = "rollouts.endpoint.view"
    list_display = ("name", "tenant", "model_link", "page", "split_changed_at", "created_at")
    list_filter = (("split_changed_at", admin.DateFieldListFilter),)
    search_fields = ("name", "tenant__name", "model__name")
    list_select_related = ("tenant", "model")
    inlines = (ArmInline, ChangeInline)

    @admin.display(description=_("model"), ordering="model__name")
    def model_link(self, endpoint: Endpoint) -> str:
        return link_to(endpoint.model)

    @admin.display(description=_("traffic"))
    def page(self, endpoint: Endpoint) -> str:
        return format_html('<a href="{}">{}</a>', reverse("endpoint", args=[endpoint.pk]), _("Open"))


@admin.register(SplitChange)
class SplitChangeAdmin(DecisionModelAdmin):
    """Every move of traffic."""

    view_action = "rollouts.endpoint.view"
    list_display = ("at", "endpoint_link", "kind", "before", "after", "actor_label", "reason")
    list_filter = ("kind", ("at", admin.DateFieldListFilter))
    search_fields = ("endpoint__name", "actor_label", "reason")
    list_select_related = ("endpoint",)

    @admin.display(description=_("endpoint"), ordering="endpoint__name")
    def endpoint_link(self, change: SplitChange) -> str:
        return link_to(change.endpoint)


@admin.register(OutcomeRecord)
class OutcomeAdmin(DecisionModelAdmin):
    """What requests came to."""

    view_action = "rollouts.endpoint.view"
    list_display = ("at", "endpoint", "model_version", "status", "latency_us", "rows", "request_id")
    list_filter = ("status", ("at", admin.DateFieldListFilter))
    search_fields = ("request_id", "principal_id")
    list_select_related = ("endpoint", "model_version__model")
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)
