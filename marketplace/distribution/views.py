"""`/tuf/metadata/…` and `/tuf/targets/…`: the signed repository, for any TUF client."""

from __future__ import annotations

import re

from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from governance.access.decisions import require
from marketplace.distribution.client import repository_file

# `timestamp.json` alone is ever replaced; every other name stands for one content for ever.
NUMBERED = re.compile(r"^\d+\.(root|snapshot|targets)\.json$")
FOREVER = "public, max-age=31536000, immutable"
NEVER = "no-cache"


@require_safe
@transaction.non_atomic_requests
def metadata(request: HttpRequest, name: str) -> HttpResponseBase:
    """A metadata file."""
    return _serve(request, "metadata", name, "application/json", FOREVER if NUMBERED.match(name) else NEVER)


@require_safe
@transaction.non_atomic_requests
def target(request: HttpRequest, name: str) -> HttpResponseBase:
    """A package; its name begins with its digest."""
    return _serve(request, "targets", name, "application/zip", FOREVER)


def _serve(request: HttpRequest, kind: str, name: str, content_type: str, cache: str) -> HttpResponseBase:
    require(request.principal, "distribution.repository.read")  # type: ignore[attr-defined]
    path = repository_file(kind, name)
    if path is None:
        raise Http404
    response = FileResponse(path.open("rb"), content_type=content_type)
    response.headers["Cache-Control"] = cache
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
