"""`/tuf/metadata/…` and `/tuf/targets/…`: the signed repository, for any TUF client."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from governance.access.decisions import require
from governance.access.requests import principal_of
from marketplace.distribution.client import repository_file

# `timestamp.json` alone is ever replaced; every other name stands for one content for ever.
NUMBERED = re.compile(r"^\d+\.(root|snapshot|targets)\.json$")
FOREVER = "public, max-age=31536000, immutable"
NEVER = "no-cache"


CHUNK = 1 << 20


@require_safe
@transaction.non_atomic_requests
def metadata(request: HttpRequest, name: str) -> HttpResponseBase:
    """A metadata file."""
    path = _find(request, "metadata", name)
    response = HttpResponse(path.read_bytes(), content_type="application/json")
    response.headers["Cache-Control"] = FOREVER if NUMBERED.match(name) else NEVER
    return response


@require_safe
@transaction.non_atomic_requests
def target(request: HttpRequest, name: str) -> HttpResponseBase:
    """A package; its name begins with its digest."""
    path = _find(request, "targets", name)
    response: HttpResponseBase
    if isinstance(request, ASGIRequest):
        # Django would read a whole file into memory before it sent the first byte of a synchronous one.
        response = StreamingHttpResponse(_chunks(path), content_type="application/zip")
        response.headers["Content-Length"] = str(path.stat().st_size)
    else:
        response = FileResponse(path.open("rb"), content_type="application/zip")
    response.headers["Cache-Control"] = FOREVER
    return response


def _find(request: HttpRequest, kind: str, name: str) -> Path:
    require(principal_of(request), "distribution.repository.read")
    path = repository_file(kind, name)
    if path is None:
        raise Http404
    return path


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    read = sync_to_async(_read, thread_sensitive=False)
    position = 0
    while chunk := await read(path, position):
        position += len(chunk)
        yield chunk


def _read(path: Path, position: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(position)
        return stream.read(CHUNK)
