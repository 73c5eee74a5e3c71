"""The console's pages of datasets: all of them with the form that registers one, and which programs may use one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.access.selectors import applications_by_grant
from governance.data import datasets as datasets_
from governance.data import selectors
from governance.data.models import ComputePool, Dataset, Label
from governance.data.policies import READ_GRANT
from governance.data.reading_rights import grant_reading, revoke_reading
from governance.data.words import KIND_NAMES, LABEL_TONES, SUBJECT_NAMES
from governance.errors import AccessDenied, DomainError, InvalidInput, NotFound
from governance.principals import Principal

PAGE = 50
WORDS = {"labels": Label.choices, "subject_names": SUBJECT_NAMES, "tones": LABEL_TONES, "kinds": KIND_NAMES}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def datasets(request: HttpRequest) -> HttpResponse:
    """All datasets, and the form that registers one."""
    principal = principal_of(request)
    require(principal, "data.asset.view")
    error: DomainError | None = None
    if request.method == "POST":
        try:
            made = _register(request)
        except AccessDenied:
            raise
        except DomainError as refused:
            error = refused
        else:
            messages.success(request, _("“%(name)s” is registered.") % {"name": made.name})
            return HttpResponseRedirect(reverse("data-asset", args=[made.asset_id]))
    rows = Paginator(selectors.visible_datasets(principal).order_by("name"), PAGE)
    context = {
        **WORDS,
        "page": rows.get_page(request.GET.get("page")),
        "pools": ComputePool.objects.filter(enabled=True).order_by("name"),
        "may_register": decide(principal, "data.asset.register").allow,
        "error": error,
        "given": request.POST,
        "limit": datasets_.MAX_BYTES,
    }
    return render(request, "data/datasets.html", context, status=error.status if error else 200)


def _register(request: HttpRequest) -> Any:
    post, file = request.POST, request.FILES.get("file")
    described: dict[str, Any] = {
        "description": post.get("description", "").strip(),
        "label": post.get("label", "internal"),
        "subjects": post.getlist("subjects"),
        "held_at": post.get("held_at", ""),
        **{name: post.get(name, "").strip()[:60] for name in ("purpose", "region", "licence")},
        "retention_days": days_of(post.get("retention_days", "")),
    }
    principal, name = principal_of(request), post.get("name", "").strip()
    if file is not None:
        return datasets_.upload_dataset(
            principal=principal, name=name, filename=file.name or "", chunks=file.chunks(), **described
        )
    return datasets_.reference_dataset(
        principal=principal, name=name, location=post.get("location", "").strip(), **described
    )


@require_POST
def grants(request: HttpRequest, dataset_id: UUID) -> HttpResponse:
    """Let an application have work done on the dataset (`give`), or take that right back (`take`)."""
    principal = principal_of(request)
    require(principal, "data.asset.view")
    found = selectors.visible_datasets(principal).filter(pk=dataset_id).first()
    if found is None:
        raise NotFound(_("There is no such dataset."))
    if given := request.POST.get("give", ""):
        grant_reading(principal=principal, dataset_id=found.id, application_id=_uuid(given))
        messages.success(request, _("The application may have work done on this dataset now."))
    elif taken := request.POST.get("take", ""):
        revoke_reading(principal=principal, dataset_id=found.id, application_id=_uuid(taken))
        messages.success(request, _("The application is refused from now on."))
    return HttpResponseRedirect(reverse("data-asset", args=[found.asset_id]) + "#grants")


def grants_of(principal: Principal, dataset: Dataset) -> dict[str, Any]:
    """Which applications may use the dataset, as `access/grants_card.html` shows it."""
    granted, grantable = applications_by_grant(
        tenant_id=dataset.tenant_id, permission=READ_GRANT, object_id=dataset.id
    )
    may = decide(principal, "access.grant.manage", dataset).allow
    return {"granted": granted, "grantable": grantable, "may_grant": may}


def days_of(text: str) -> int | None:
    """A retention as a form gives it: a number of days, or nothing. Raises InvalidInput."""
    text = text.strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise InvalidInput(_("Retention is a number of days."))
    return int(text) if text else None


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise InvalidInput(_("Choose one from the list.")) from error
