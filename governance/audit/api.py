"""REST: the audit log, its chains, and how long it is kept."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.audit import retention, runs
from governance.audit.filters import AuditEntryFilter
from governance.audit.findings import Problem
from governance.audit.gate import principal_of
from governance.audit.models import AuditEntry, ChainVerification, LegalHold, SignedHead
from governance.audit.selectors import entries_for, keeping, own
from governance.audit.streams import answer_with_export
from governance.errors import InvalidInput


class LogPagination(CursorPagination):
    """Pages by time and number, newest first."""

    ordering = ("-at", "-sequence")
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"


def _whose(request: Request, tenant_id: UUID | None) -> UUID:
    found = tenant_id or principal_of(request).tenant_id
    if found is None:
        raise InvalidInput(_("Say whose chain is meant."))
    return found


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


class AuditEntryViewSet(viewsets.ReadOnlyModelViewSet[AuditEntry]):
    """The audit log of one's tenant; of every tenant for platform roles."""

    decisions = {"list": "audit.entry.view", "retrieve": "audit.entry.view"}
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditEntryFilter
    pagination_class = LogPagination

    def get_queryset(self) -> QuerySet[AuditEntry]:
        return entries_for(principal_of(self.request))


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class AuditExportView(APIView):
    """The log as a file, newest entry first, with the filters of the list."""

    decisions = {"get": "audit.entry.export"}

    @extend_schema(
        operation_id="audit_export",
        parameters=[
            OpenApiParameter("file", enum=["csv", "jsonl"], description="kind of file; default: jsonl"),
            *(
                OpenApiParameter(name, str, description=str(given.label))
                for name, given in AuditEntryFilter.base_filters.items()
            ),
        ],
        responses={
            (200, "application/x-ndjson"): OpenApiTypes.BINARY,
            (200, "text/csv"): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Streamed; cells that a spreadsheet would take for a formula begin with an apostrophe in CSV."""
        given = AuditEntryFilter(request.query_params, queryset=AuditEntry.objects.none())
        if not given.is_valid():
            raise serializers.ValidationError(given.errors)
        answer: StreamingHttpResponse = answer_with_export(
            request._request,
            action="audit.entry.export",
            wanted=given.wanted,
            form=request.query_params.get("file", "jsonl"),
        )
        return answer


class SignedHeadSerializer(serializers.ModelSerializer[SignedHead]):
    """Where a chain ended at a time, signed; keep it where the database's owner cannot reach."""

    class Meta:
        model = SignedHead
        fields = [
            "id",
            "tenant",
            "sequence",
            "entry_hash",
            "at",
            "key_name",
            "key_id",
            "algorithm",
            "signature",
        ]
        read_only_fields = fields


class SignedHeadViewSet(viewsets.ReadOnlyModelViewSet[SignedHead]):
    """Signed heads, newest first."""

    decisions = {"list": "audit.chain.view", "retrieve": "audit.chain.view"}
    queryset = SignedHead.objects.all()
    serializer_class = SignedHeadSerializer
    filterset_fields = ["tenant"]

    def get_queryset(self) -> QuerySet[SignedHead]:
        return SignedHead.objects.filter(own(principal_of(self.request)))


class ChainProblemSerializer(serializers.Serializer[Problem]):
    """One place where a chain does not hold."""

    kind = serializers.CharField(help_text="changed, removed, inserted, reordered, head or signature")
    entry = serializers.IntegerField()
    text = serializers.CharField(source="__str__")


class ChainVerificationSerializer(serializers.ModelSerializer[ChainVerification]):
    """One verification: green (`holds`), red (`broken`), or on its way."""

    problems = serializers.SerializerMethodField()

    class Meta:
        model = ChainVerification
        fields = [
            "id",
            "tenant",
            "state",
            "asked_by_label",
            "asked_at",
            "finished_at",
            "checked",
            "total",
            "signed_through",
            "cut_through",
            "problems",
            "more_problems",
        ]
        read_only_fields = fields

    @extend_schema(responses=ChainProblemSerializer(many=True))
    def get_problems(self, run: ChainVerification) -> list[dict[str, Any]]:
        """Each with its entry and kind, in the reader's language."""
        found = [Problem.from_json(problem) for problem in run.problems]
        return [{"kind": p.kind.value, "entry": p.entry, "text": str(p)} for p in found]


class NewVerificationSerializer(serializers.Serializer[Any]):
    """Whose chain; without a tenant, one's own."""

    tenant = serializers.UUIDField(required=False)


class ChainVerificationViewSet(viewsets.ReadOnlyModelViewSet[ChainVerification]):
    """Verifications of chains, newest first."""

    decisions = {"list": "audit.chain.view", "retrieve": "audit.chain.view", "create": "audit.chain.verify"}
    queryset = ChainVerification.objects.all()
    serializer_class = ChainVerificationSerializer
    filterset_fields = ["tenant", "state"]

    def get_queryset(self) -> QuerySet[ChainVerification]:
        return ChainVerification.objects.filter(own(principal_of(self.request)))

    @extend_schema(request=NewVerificationSerializer, responses={202: ChainVerificationSerializer})
    def create(self, request: Request) -> Response:
        """Have a chain verified in the background; the answer is the run, which tells its progress."""
        given = NewVerificationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        run = runs.start_verification(
            principal=principal_of(request), tenant_id=_whose(request, given.validated_data.get("tenant"))
        )
        return Response(ChainVerificationSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class LegalHoldSerializer(serializers.ModelSerializer[LegalHold]):
    """Entries from a time on that must not be removed while it lasts."""

    class Meta:
        model = LegalHold
        fields = [
            "id",
            "tenant",
            "reason",
            "from_at",
            "to_at",
            "set_by",
            "set_at",
            "released_by",
            "released_at",
            "release_reason",
        ]
        read_only_fields = ["set_by", "set_at", "released_by", "released_at", "release_reason"]
        extra_kwargs = {"tenant": {"required": False}}


class HoldReleaseSerializer(serializers.Serializer[Any]):
    """Why the hold ends."""

    reason = serializers.CharField(max_length=2000)


class LegalHoldViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[LegalHold]):
    """Legal holds. Somebody else than who set one releases it."""

    decisions = {
        "list": "audit.chain.view",
        "create": "audit.hold.set",
        "release": "audit.hold.release",
    }
    queryset = LegalHold.objects.all()
    serializer_class = LegalHoldSerializer
    filterset_fields = ["tenant"]

    def get_queryset(self) -> QuerySet[LegalHold]:
        return LegalHold.objects.filter(own(principal_of(self.request)))

    def create(self, request: Request) -> Response:
        """Keep a tenant's entries, whatever the retention says."""
        given = LegalHoldSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        tenant = given.validated_data.get("tenant")
        hold = retention.set_hold(
            principal=principal_of(request),
            tenant_id=_whose(request, tenant.id if tenant else None),
            reason=given.validated_data["reason"],
            from_at=given.validated_data.get("from_at"),
            to_at=given.validated_data.get("to_at"),
        )
        return Response(LegalHoldSerializer(hold).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=HoldReleaseSerializer, responses=LegalHoldSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """End a hold that somebody else has set."""
        given = HoldReleaseSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        hold = retention.release_hold(
            principal=principal_of(request),
            hold_id=self.get_object().id,
            reason=given.validated_data["reason"],
        )
        return Response(LegalHoldSerializer(hold).data)


class RetentionSerializer(serializers.Serializer[Any]):
    """Days that a tenant's entries are kept; null: for ever."""

    tenant = serializers.UUIDField(required=False)
    days = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField(max_length=2000, write_only=True)


class RetentionView(APIView):
    """How long one's entries are kept."""

    decisions = {"get": "audit.chain.view", "put": "audit.retention.manage"}

    @extend_schema(operation_id="audit_retention", responses=RetentionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Of each tenant that has a retention; the others keep everything."""
        rows = keeping(principal_of(request)).policies
        return Response([{"tenant": str(row.tenant_id), "days": row.days} for row in rows])

    @extend_schema(
        operation_id="audit_retention_set", request=RetentionSerializer, responses=RetentionSerializer
    )
    def put(self, request: Request) -> Response:
        """Set it, with a reason."""
        given = RetentionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        tenant_id = _whose(request, given.validated_data.get("tenant"))
        days = given.validated_data["days"]
        retention.set_retention(
            principal=principal_of(request),
            tenant_id=tenant_id,
            days=days,
            reason=given.validated_data["reason"],
        )
        return Response({"tenant": str(tenant_id), "days": days})
