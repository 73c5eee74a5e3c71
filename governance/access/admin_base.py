"""The base of every console page about stored objects: who may look is decided, and changes go through services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.utils import flatten_fieldsets
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline

from governance.access.decisions import decide
from governance.access.requests import principal_of
from governance.errors import DomainError

DASH = "—"


class RelatedByPermission:
    """Mixed into read-only pages: a related object is a link for who may open its page, else no more than its name."""

    model: type[models.Model]
    admin_site: AdminSite

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Those of the class, with what stands for each foreign key on the page of an object."""
        groups = super().get_fieldsets(request, obj)  # type: ignore[misc]
        if obj is None:
            return groups
        related = {field.name: field for field in self.model._meta.fields if field.is_relation}
        return [
            (
                title,
                {
                    **options,
                    "fields": [
                        self._related(request, related[name]) if name in related else name
                        for name in options["fields"]
                    ],
                },
            )
            for title, options in groups
        ]

    def _related(self, request: HttpRequest, field: models.Field[Any, Any]) -> Callable[[Any], str]:
        made = request.__dict__.setdefault("_related_by_permission", {})
        return made.setdefault((self.model, field.name), self._shown(request, field))

    def _shown(self, request: HttpRequest, field: models.Field[Any, Any]) -> Callable[[Any], str]:
        def shown(row: models.Model) -> str:
            other = getattr(row, field.name)
            page = self.admin_site._registry.get(type(other))
            may = page is not None and page.has_view_permission(request, other)
            return link_to(other) if may or other is None else str(other)

        shown.__name__ = field.name  # by which the help text is found
        shown.short_description = field.verbose_name  # type: ignore[attr-defined]
        return shown


class DecisionModelAdmin(RelatedByPermission, ModelAdmin):
    """Read-only pages that the decision point opens with `view_action`.

    Where a service can make such an object, set `add_action` and override `save_model` to call it. Row security has
    already restricted the rows; what the decision point refuses is not even listed.
    """

    view_action: ClassVar[str] = ""
    add_action: ClassVar[str] = ""
    list_per_page = 50
    show_full_result_count = False
    list_filter_submit = False
    actions: ClassVar[Any] = None

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self._may(request, self.view_action, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(self.add_action) and self._may(request, self.add_action)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def _may(self, request: HttpRequest, action: str, obj: models.Model | None = None) -> bool:
        """Asked once a request. On a page of this model's own the answer is obeyed; elsewhere it only shows a link."""
        decided: dict[Any, bool] = request.__dict__.setdefault("_console_decisions", {})
        key = action, obj.pk if obj is not None else None
        if key not in decided:
            page = getattr(request.resolver_match, "func", None)
            own = getattr(page, "model_admin", None) is self
            decided[key] = decide(principal_of(request), action, obj, enforced=own).allow
        return decided[key]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Row security shows a tenant what is published as well; the console lists what is the tenant's own."""
        rows = super().get_queryset(request)
        principal = principal_of(request)
        names = {field.name for field in self.model._meta.get_fields()}
        if not principal.platform and "tenant" in names:
            rows = rows.filter(tenant_id=principal.tenant_id)
        return rows

    def try_each(self, request: HttpRequest, rows: QuerySet[Any], change: Any, done: str) -> None:
        """Call a service for every chosen row and tell how many it was done to, and why not for the others."""
        count = 0
        for row in rows:
            try:
                change(row)
                count += 1
            except DomainError as error:
                messages.error(request, f"{row}: {error}")
        if count:
            messages.success(request, f"{done} ({count})")

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        """The audit log holds what was done; Django's own log is not kept."""

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        """See `log_addition`."""


class DecisionInline(RelatedByPermission, TabularInline):
    """Related rows, read-only, on the page of the object that they belong to."""

    extra = 0
    can_delete = False
    show_change_link = True
    ordering: ClassVar[Any] = ("-id",)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return True

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[Any]:
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


def link_to(row: models.Model | None, label: str = "") -> SafeString | str:
    """A link to the console page of a related object."""
    if row is None:
        return DASH
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, label or str(row)
    )


def short_digest(value: str) -> SafeString | str:
    """The first twelve hex digits of a digest, the rest as a title."""
    return format_html('<code title="{}">{}</code>', value, value[:12]) if value else DASH
