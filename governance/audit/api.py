"""REST: reading the audit log."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers, viewsets

from governance.audit.models import AuditEntry


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """One entry, with the hashes that chain it to the one before."""

    class Meta:
        model = AuditEntry
        fields = [
            "id",
            "tenant",
            "sequence",
            "at",
            "actor_kind",
            "actor_id",
            "actor_label",
            "action",
            "target_type",
            "target_id",
            "target_label",
            "target_digest",
            "decision",
            "reason",
            "request_id",
            "details",
            "previous_hash",
            "entry_hash",
        ]
        read_only_fields = fields


class AuditEntryFilter(filters.FilterSet):
    """What an auditor narrows the log by."""

    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ["action", "actor_id", "target_type", "target_id", "decision", "request_id"]


class AuditEntryViewSet(viewsets.ReadOnlyModelViewSet[AuditEntry]):
    """The audit log of one's tenant; of every tenant for platform roles."""

    decisions = {"list": "audit.entry.view", "retrieve": "audit.entry.view"}
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditEntryFilter
