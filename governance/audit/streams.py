"""An export as an HTTP answer, for the API and the console alike."""

from __future__ import annotations

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit.export import CONTENT_TYPES, Format, begin_export, pieces, pieces_async
from governance.audit.gate import principal_of, while_allowed
from governance.audit.selectors import Search
from governance.errors import InvalidInput


def answer_with_export(
    request: HttpRequest, *, action: str, wanted: Search, form: str
) -> StreamingHttpResponse:
    """Decide, record, and stream. Under ASGI it ends as soon as the right to it does."""
    if form not in CONTENT_TYPES:
        raise InvalidInput(_("Choose csv or jsonl."))
    kind: Format = "csv" if form == "csv" else "jsonl"
    principal = principal_of(request)
    fixed = begin_export(principal=principal, wanted=wanted, form=kind)
    if isinstance(request, ASGIRequest):
        body = while_allowed(request, action, pieces_async(principal=principal, wanted=fixed, form=kind))
        answer = StreamingHttpResponse(body)
    else:
        answer = StreamingHttpResponse(pieces(principal=principal, wanted=fixed, form=kind))
    answer["Content-Type"] = CONTENT_TYPES[kind]
    name = f"audit-{timezone.now():%Y%m%d-%H%M%S}.{kind}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    return answer
