"""Console pages of the model registry."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import CharField, Exists, OuterRef, QuerySet
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from governance.access.admin_base import DecisionInline, DecisionModelAdmin, link_to, short_digest
from governance.data.models import Asset
from inference.registry.models import Model, ModelVersion


class VersionInline(DecisionInline):
    """The model's versions."""

    model = ModelVersion
    fields = ("version", "state", "format", "size_bytes", "created_at")
    readonly_fields = fields


@admin.register(Model)
class ModelsAdmin(DecisionModelAdmin):
    """Models by tenant."""

    view_action = "registry.model.view"
    list_display = ("name", "tenant", "created_at")
    list_filter = (("created_at", admin.DateFieldListFilter),)
    search_fields = ("name", "tenant__name")
    list_select_related = ("tenant",)
    inlines = (VersionInline,)


@admin.register(ModelVersion)
class ModelVersionAdmin(DecisionModelAdmin):
    """Immutable artifacts with their signatures, cards and figures."""

    view_action = "registry.version.view"
    list_display = (
        "model_link",
        "version",
        "state",
        "format",
        "size_bytes",
        "digest",
        "source_label",
        "must_retrain",
        "created_at",
    )
    list_display_links = ("version",)
    list_filter = ("state", "format", ("created_at", admin.DateFieldListFilter))
    search_fields = ("model__name", "version", "sha256", "source_label")
    list_select_related = ("model",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        flagged = Asset.objects.filter(
            type="registry.modelversion",
            object_id=Cast(OuterRef("pk"), CharField()),
            must_retrain_at__isnull=False,
        )
        return super().get_queryset(request).annotate(flagged=Exists(flagged))

    @admin.display(description=_("erased data"), ordering="flagged")
    def must_retrain(self, version: ModelVersion) -> str:
        return str(_("must be retrained")) if getattr(version, "flagged", False) else "–"

    @admin.display(description=_("model"), ordering="model__name")
    def model_link(self, version: ModelVersion) -> str:
        return link_to(version.model)

    @admin.display(description=_("digest"))
    def digest(self, version: ModelVersion) -> str:
        return short_digest(version.sha256)
