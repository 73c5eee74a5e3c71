"""The partner's portal, below /partner/: what is under way, uploading, and following each step live."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.errors import AccessDenied, DomainError, NotFound
from governance.ethics.questionnaires import answers_from_form, form_of
from marketplace.catalog.models import PluginVersion
from marketplace.review import services
from marketplace.review.models import ENDED, Submission
from marketplace.review.presentation import SubmissionPage, listed, present, summary

SHOWN = 100


def _view(request: HttpRequest, submission_id: UUID) -> tuple[Submission, SubmissionPage]:
    principal = principal_of(request)
    require(principal, "site.portal.open")
    assert principal.tenant_id is not None
    rows = Submission.objects.filter(pk=submission_id, tenant_id=principal.tenant_id)
    found = listed(rows).first()
    if found is None:
        raise NotFound(_("There is no such submission."))
    require(principal, "review.submission.view", found)
    view = present(found, principal)
    return found, view


@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Everything of this partner, and whose turn it is."""
    principal = principal_of(request)
    require(principal, "site.portal.open")
    assert principal.tenant_id is not None
    own = Submission.objects.filter(tenant_id=principal.tenant_id).order_by("-created_at")
    rows = [summary(row, principal) for row in listed(own)[:SHOWN]]
    published = (
        PluginVersion.objects.filter(tenant_id=principal.tenant_id, state=PluginVersion.State.PUBLISHED)
        .select_related("plugin")
        .order_by("plugin__slug", "-published_at")
        .distinct("plugin__slug")
    )
    plugins = [
        {
            "name": version.plugin.slug,
            "description": version.manifest.get("description", ""),
            "version": version.version,
            "published_at": version.published_at,
        }
        for version in published
    ]
    waiting = [row for row in rows if row.my_turn and row.state not in ENDED]
    return render(request, "review/portal.html", {"rows": rows, "waiting": waiting, "plugins": plugins})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """The upload form with its size limit."""
    principal = principal_of(request)
    require(principal, "site.portal.open")
    assert principal.tenant_id is not None
    context: dict[str, Any] = {
        "limit": settings.PLUGIN_UPLOAD_MAX_BYTES,
        "questions": _questions(request),
        "questionnaire_open": _answers(request) is not None,
    }
    if request.method == "POST":
        file = request.FILES.get("file")
        if file is None:
            return render(
                request,
                "review/upload.html",
                context | {"error": {"message": _("Choose a file first.")}},
                status=400,
            )
        try:
            with transaction.atomic():
                made = services.submit_version(
                    principal=principal,
                    file=file,
                    filename=file.name or "plugin.zip",
                    questionnaire=_answers(request),
                )
        except AccessDenied:
            raise
        except DomainError as error:
            return render(request, "review/upload.html", context | {"error": error}, status=error.status)
        return HttpResponseRedirect(reverse("partner-submission", args=[made.id]))
    return render(request, "review/upload.html", context)


@never_cache
@require_safe
def submission(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """One submission, which refreshes itself."""
    _found, view = _view(request, submission_id)
    return render(request, "review/partner_submission.html", {"s": view, "questions": _questions(request)})


@never_cache
@require_safe
def live(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """The part that is fetched again when something has changed."""
    _found, view = _view(request, submission_id)
    return render(request, "review/partner_live.html", {"s": view})


@require_POST
def answer(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Answer the reviewer."""
    services.answer_reviewer(
        principal=principal_of(request), submission_id=submission_id, message=request.POST.get("text", "")
    )
    messages.success(request, _("The reviewer has your answer."))
    return HttpResponseRedirect(reverse("partner-submission", args=[submission_id]))


@require_POST
def questionnaire(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Answer the ethics questions after the upload."""
    found, view = _view(request, submission_id)
    try:
        with transaction.atomic():
            services.answer_questionnaire(
                principal=principal_of(request), submission_id=found.id, questionnaire=_answers(request) or {}
            )
    except AccessDenied:
        raise
    except DomainError as error:
        context = {"s": view, "questions": _questions(request), "error": error}
        return render(request, "review/partner_submission.html", context, status=error.status)
    messages.success(request, _("The ethics office has your answers."))
    return HttpResponseRedirect(reverse("partner-submission", args=[submission_id]))


@require_POST
def retry(request: HttpRequest, submission_id: UUID, name: str) -> HttpResponse:
    """Run a check again that could not finish."""
    services.retry_check(principal=principal_of(request), submission_id=submission_id, name=name)
    return HttpResponseRedirect(reverse("partner-submission", args=[submission_id]))


@require_POST
def withdraw(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Take the submission back."""
    services.withdraw(principal=principal_of(request), submission_id=submission_id)
    messages.success(request, _("The submission is withdrawn."))
    return HttpResponseRedirect(reverse("partner-submission", args=[submission_id]))


def _questions(request: HttpRequest) -> list[dict[str, Any]]:
    return form_of(request.POST)


def _answers(request: HttpRequest) -> dict[str, Any] | None:
    """The questionnaire as sent, or None when every field was left empty."""
    return answers_from_form(request.POST)
