"""REST: submissions, from the upload to the verdict."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from governance.access.requests import principal_of
from governance.access.rest import ensure_size
from governance.errors import InvalidInput
from marketplace.review import contents, selectors, services
from marketplace.review.models import Submission
from marketplace.review.serializers import (
    ArchiveFileSerializer,
    DiffSerializer,
    FileContentSerializer,
    MessageSerializer,
    QuestionnaireAnswersSerializer,
    ReasonSerializer,
    RetrySerializer,
    SubmissionListSerializer,
    SubmissionSerializer,
    UploadSerializer,
    VerdictSerializer,
    submission_json,
)

VIEW = "review.submission.view"
INSPECT = "review.submission.inspect"


class SubmissionViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Submission]):
    """Submissions of one's partner; of every partner for the house."""

    decisions = {
        "list": VIEW,
        "retrieve": VIEW,
        "create": "review.submission.upload",
        "questionnaire": "review.submission.answer",
        "answer": "review.submission.answer",
        "withdraw": "review.submission.withdraw",
        "retry": "review.submission.retry",
        "queue": "review.submission.claim",
        "claim": "review.submission.claim",
        "release": "review.submission.claim",
        "ask": "review.submission.ask",
        "decide": "review.submission.decide",
        "files": INSPECT,
        "content": INSPECT,
        "diff": INSPECT,
    }
    queryset = Submission.objects.select_related("claimed_by")
    serializer_class = SubmissionListSerializer
    parser_classes = [JSONParser, MultiPartParser]
    filterset_fields = ["state", "plugin_name", "risk_level"]

    @extend_schema(responses=SubmissionSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Where it stands: state, whose turn it is, what happens next, the timeline, and each check's findings."""
        return self._answer(self._one(pk))

    @extend_schema(request={"multipart/form-data": UploadSerializer}, responses={201: SubmissionSerializer})
    def create(self, request: Request) -> Response:
        """Upload a packed plugin version. The same bytes again answer with the submission that is under way."""
        from django.conf import settings

        given = UploadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        file = given.validated_data["file"]
        ensure_size(file.size, settings.PLUGIN_UPLOAD_MAX_BYTES)
        submission = services.submit_version(
            principal=principal_of(self.request),
            file=file,
            filename=file.name,
            questionnaire=_answers(given.validated_data.get("questionnaire") or ""),
        )
        return self._answer(submission, status.HTTP_201_CREATED)

    @extend_schema(request=QuestionnaireAnswersSerializer, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def questionnaire(self, request: Request, pk: str) -> Response:
        """Answer the ethics questionnaire of a version with a high-risk purpose."""
        given = _valid(QuestionnaireAnswersSerializer, request)
        return self._answer(
            services.answer_questionnaire(
                principal=principal_of(self.request),
                submission_id=self._id(pk),
                questionnaire=given["answers"],
            )
        )

    @extend_schema(request=MessageSerializer, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        """Answer the reviewer's question."""
        return self._answer(
            services.answer_reviewer(
                principal=principal_of(self.request),
                submission_id=self._id(pk),
                **_valid(MessageSerializer, request),
            )
        )

    @extend_schema(request=ReasonSerializer, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take the submission back; possible until it is approved."""
        return self._answer(
            services.withdraw(
                principal=principal_of(self.request),
                submission_id=self._id(pk),
                **_valid(ReasonSerializer, request),
            )
        )

    @extend_schema(request=RetrySerializer, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Run again the checks that ended in an error."""
        return self._answer(
            services.retry_check(
                principal=principal_of(self.request),
                submission_id=self._id(pk),
                **_valid(RetrySerializer, request),
            )
        )

    @extend_schema(responses=SubmissionListSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def queue(self, request: Request) -> Response:
        """What reviewers can work on, due first; at most 200."""
        rows = selectors.queue(principal=principal_of(self.request))[:200]
        return Response(SubmissionListSerializer(rows, many=True).data)

    @extend_schema(request=None, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, pk: str) -> Response:
        """Take it for eight hours."""
        return self._answer(services.claim(principal=principal_of(self.request), submission_id=self._id(pk)))

    @extend_schema(request=None, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Put it back into the queue."""
        return self._answer(
            services.release_claim(principal=principal_of(self.request), submission_id=self._id(pk))
        )

    @extend_schema(request=MessageSerializer, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def ask(self, request: Request, pk: str) -> Response:
        """Ask the publisher; it is then the publisher's turn."""
        return self._answer(
            services.ask_publisher(
                principal=principal_of(self.request),
                submission_id=self._id(pk),
                **_valid(MessageSerializer, request),
            )
        )

    @extend_schema(request=VerdictSerializer, responses=SubmissionSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Approve or refuse, with a reason. Nobody decides on an upload of their own."""
        return self._answer(
            services.decide(
                principal=principal_of(self.request),
                submission_id=self._id(pk),
                **_valid(VerdictSerializer, request),
            )
        )

    @extend_schema(responses=ArchiveFileSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def files(self, request: Request, pk: str) -> Response:
        """The files of the package."""
        found = contents.files_of(principal=principal_of(self.request), submission=self._one(pk))
        return Response(ArchiveFileSerializer(found, many=True).data)

    @extend_schema(
        parameters=[OpenApiParameter("path", OpenApiTypes.STR, required=True)],
        responses=FileContentSerializer,
    )
    @action(detail=True, methods=["get"])
    def content(self, request: Request, pk: str) -> Response:
        """One file as text, 256 KiB at most."""
        found = contents.content_of(
            principal=principal_of(self.request),
            submission=self._one(pk),
            path=request.query_params.get("path", ""),
        )
        return Response(FileContentSerializer(found).data)

    @extend_schema(responses=DiffSerializer)
    @action(detail=True, methods=["get"])
    def diff(self, request: Request, pk: str) -> Response:
        """What differs from the last approved version of the plugin."""
        found = contents.diff_of(principal=principal_of(self.request), submission=self._one(pk))
        return Response(DiffSerializer(found).data)

    def _one(self, pk: str) -> Submission:
        return selectors.get_submission(principal=principal_of(self.request), submission_id=self._id(pk))

    def _id(self, pk: str) -> UUID:
        try:
            return UUID(str(pk))
        except ValueError:
            return UUID(int=0)  # there is none with this id, so every look-up says “not found”

    def _answer(self, submission: Submission, code: int = status.HTTP_200_OK) -> Response:
        return Response(submission_json(submission, principal=principal_of(self.request)), status=code)


def _valid(serializer: Any, request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _answers(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        answers = json.loads(text)
    except ValueError as error:
        raise InvalidInput(_("The questionnaire is not valid JSON.")) from error
    if not isinstance(answers, dict):
        raise InvalidInput(_("The questionnaire must be a JSON object."))
    return answers
