"""What the log is narrowed by, on the page and on the API alike."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters

from governance.audit.models import AuditEntry
from governance.audit.selectors import Search, narrowed


class AuditEntryFilter(filters.FilterSet):
    """Everything given must match. `until` is exclusive; `action` is the beginning of one."""

    tenant = filters.UUIDFilter(label=_("Tenant"))
    actor = filters.CharFilter(label=_("Who (name or id)"))
    actor_id = filters.CharFilter(label=_("Actor id"))
    action = filters.CharFilter(label=_("Action (its beginning)"))
    target_type = filters.CharFilter(label=_("Kind of object"))
    target_id = filters.CharFilter(label=_("Object id"))
    decision = filters.ChoiceFilter(label=_("Decision"), choices=AuditEntry.Decision.choices)
    since = filters.IsoDateTimeFilter(label=_("From"))
    until = filters.IsoDateTimeFilter(label=_("Before"))
    request_id = filters.CharFilter(label=_("Request id"))
    text = filters.CharFilter(label=_("Words in the reason"))

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    @property
    def wanted(self) -> Search:
        """The search that the given values make."""
        return Search.of(self.form.cleaned_data)

    def filter_queryset(self, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return narrowed(queryset, self.wanted)

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(data, *args, **kwargs)
        for field in self.form.fields.values():
            if hasattr(field, "max_length"):
                field.max_length = 200
