"""REST: batch predictions over an uploaded file or a registered dataset."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, BinaryIO
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.access.standing import standing_of
from governance.data.labels import SUBJECTS
from governance.data.models import Label
from governance.decision import Decision
from governance.errors import Conflict, NotFound
from governance.ethics.use import use_of
from governance.principals import Principal
from inference.registry.models import TrainingReference
from inference.serving.batch import files
from inference.serving.batch.pausing import pause_batch_job, resume_batch_job
from inference.serving.batch.referencing import make_reference
from inference.serving.batch.selectors import find_job, seeing, visible_jobs, with_progress
from inference.serving.batch.services import cancel_batch_job, create_batch_job
from inference.serving.models import BatchJob

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The same key again returns the same job.",
)


CONTENT_TYPES = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


class BatchJobSerializer(serializers.ModelSerializer[BatchJob]):
    """A job. Bad rows are in the result with their line and the reason, and counted in `rows_bad`."""

    endpoint = serializers.CharField(source="endpoint.name", read_only=True)
    version = serializers.CharField(source="model_version.version", read_only=True)
    progress = serializers.SerializerMethodField()

    class Meta:
        model = BatchJob
        fields = [
            "id", "state", "endpoint", "version", "dataset", "filename", "format", "result_format", "input_sha256",
            "input_bytes", "row_count", "rows_ok", "rows_bad", "result_sha256", "result_bytes", "error",
            "created_by_label", "created_at", "started_at", "paused_at", "finished_at", "progress",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_progress(self, job: BatchJob) -> dict[str, Any]:
        return {
            "rows_done": getattr(job, "shard_rows_done", 0),
            "rows_bad": getattr(job, "shard_rows_bad", 0),
            "shards": getattr(job, "shard_count", 0),
            "shards_done": getattr(job, "shards_done", 0),
        }


class TrainingReferenceSerializer(serializers.ModelSerializer[TrainingReference]):
    """A version's training reference. `revision` is empty until the first one is made."""

    class Meta:
        model = TrainingReference
        fields = [
            "model_version", "state", "error", "job_id", "revision", "row_count", "source_digest", "source_label",
            "made_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewBatchJobSerializer(serializers.Serializer[Any]):
    """A file of rows or a dataset, and the endpoint that predicts them.

    Without a version the split chooses one for the whole job.
    """

    endpoint = serializers.CharField(max_length=64)
    version = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)
    file = serializers.FileField(required=False, help_text=".jsonl, .csv with a header, or .parquet")
    dataset = serializers.UUIDField(
        required=False, help_text="Instead of a file: a dataset that is kept here or lies in a lent bucket."
    )
    label = serializers.ChoiceField(  # type: ignore[assignment]
        choices=Label.choices,
        default="",
        allow_blank=True,
        help_text="How confidential the file is: internal, if nothing is said. A dataset's own label always holds.",
    )
    subjects = serializers.MultipleChoiceField(choices=SUBJECTS, default=set, help_text="What it is about.")
    region = serializers.CharField(
        max_length=60, default="", allow_blank=True, help_text="Where it must stay."
    )
    result_format = serializers.ChoiceField(
        choices=BatchJob.ResultFormat.choices, default=BatchJob.ResultFormat.JSONL
    )


class BatchJobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BatchJob]):
    """Batch jobs: one's own, and the tenant's for people who may see them."""

    decisions = dict.fromkeys(
        ("list", "retrieve", "create", "cancel", "pause", "resume", "result", "reference"),
        "serving.batch.request",
    )
    queryset = BatchJob.objects.all()
    serializer_class = BatchJobSerializer
    parser_classes = [MultiPartParser, JSONParser]
    filterset_fields = ["state", "endpoint__name"]

    def get_queryset(self) -> Any:
        return with_progress(visible_jobs(principal_of(self.request)))

    @extend_schema(
        request={"multipart/form-data": NewBatchJobSerializer, "application/json": NewBatchJobSerializer},
        responses={201: BatchJobSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def create(self, request: Request) -> Response:
        """Queue a prediction of every row of a file or a dataset."""
        given = NewBatchJobSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        file = given.validated_data.get("file")
        job = create_batch_job(
            principal=principal_of(request),
            endpoint_name=given.validated_data["endpoint"],
            version=given.validated_data["version"],
            filename=(file.name or "") if file else "",
            chunks=file.chunks() if file else (),
            dataset_id=given.validated_data.get("dataset"),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            label=given.validated_data["label"],
            subjects=sorted(given.validated_data["subjects"]),
            region=given.validated_data["region"],
            result_format=given.validated_data["result_format"],
            use=use_of(request._request),
        )
        body = BatchJobSerializer(self.get_queryset().get(pk=job.pk)).data
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=BatchJobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop the job."""
        cancel_batch_job(principal=principal_of(request), job_id=self.get_object().id)
        return Response(BatchJobSerializer(self.get_object()).data)

    @extend_schema(request=None, responses=BatchJobSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Let no new shard begin. Shards under way are finished and count."""
        pause_batch_job(principal=principal_of(request), job_id=self.get_object().id)
        return Response(BatchJobSerializer(self.get_object()).data)

    @extend_schema(request=None, responses=BatchJobSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Go on where the job was paused."""
        resume_batch_job(principal=principal_of(request), job_id=self.get_object().id)
        return Response(BatchJobSerializer(self.get_object()).data)

    @extend_schema(request=None, responses={202: TrainingReferenceSerializer})
    @action(detail=True, methods=["post"])
    def reference(self, request: Request, pk: str) -> Response:
        """Count the job's rows as the training reference of its version, which drift is then measured against."""
        made = make_reference(principal=principal_of(request), job_id=self.get_object().id)
        return Response(TrainingReferenceSerializer(made).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses={(200, kind): OpenApiTypes.BINARY for kind in CONTENT_TYPES.values()})
    @action(detail=True, methods=["get"])
    def result(self, request: Request, pk: str) -> HttpResponseBase:
        """Every row of the input, in its order: `row`, `line` and the outputs or an `error`; JSON lines or Parquet."""
        job = self.get_object()
        if job.state != BatchJob.State.SUCCEEDED:
            raise Conflict(
                _("The job is %(state)s; there is no result.") % {"state": job.get_state_display()}
            )
        require(principal_of(request), "serving.batch.result", job)
        try:
            # Opened in the tenant's scope; what is streamed later needs no more than the open file.
            file = files.result_path(job).open()
        except FileNotFoundError:
            raise NotFound(_("The result is not kept any more.")) from None
        response: StreamingHttpResponse
        if isinstance(request._request, ASGIRequest):
            # Read piece by piece: a FileResponse would be loaded whole under ASGI.
            standing = standing_of(request._request, lambda principal: _may_see(principal, job.id))
            response = StreamingHttpResponse(standing.while_it_stands(_pieces(file)))
            response._resource_closers.append(file.close)  # type: ignore[attr-defined]
        else:
            response = FileResponse(file)
        response["Content-Type"] = CONTENT_TYPES[job.result_format]
        response["Content-Disposition"] = f'attachment; filename="{job.id}.{job.result_format}"'
        response["Content-Length"] = str(job.result_bytes)
        response["Digest"] = f"sha-256={job.result_sha256}"
        return response


def _may_see(principal: Principal, job_id: UUID) -> Decision:
    job = find_job(job_id)
    return decide(principal, seeing(principal, job), job)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await sync_to_async(file.read)(files.CHUNK_BYTES):
            yield piece
    finally:
        await sync_to_async(file.close)()
