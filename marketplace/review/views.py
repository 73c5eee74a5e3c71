"""The reviewer's workbench, below /console/review/."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from governance.access import decisions
from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.errors import NotFound
from governance.principals import Principal
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.risk import HIGH_RISK_PURPOSES
from marketplace.catalog.services import block_version
from marketplace.review import services
from marketplace.review.archives import FileContent
from marketplace.review.contents import content_of, diff_of, files_of
from marketplace.review.models import Submission
from marketplace.review.presentation import SubmissionPage, asks_of, listed, present, summary
from marketplace.review.states import QUEUE

State = Submission.State
TABS = ("overview", "findings", "files", "diff", "talk")
SHOWN = 100


def _submission(request: HttpRequest, submission_id: UUID) -> Submission:
    require(principal_of(request), "review.submission.inspect")
    found = listed(Submission.objects.filter(pk=submission_id)).first()
    if found is None:
        raise NotFound(_("There is no such submission."))
    return found


@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """What waits for reviewers, the most urgent first, or what was submitted lately."""
    principal = principal_of(request)
    require(principal, "review.submission.inspect")
    me = principal.accountable_user_id
    open_rows = Submission.objects.filter(state__in=QUEUE)
    choices = {
        "open": (_("To do"), open_rows.order_by("due_at", "id")),
        "mine": (_("Mine"), open_rows.filter(claimed_by_id=me).order_by("due_at", "id")),
        "all": (_("All"), Submission.objects.order_by("-created_at")),
    }
    shown = request.GET.get("show", "open")
    shown = shown if shown in choices else "open"
    context = {
        "rows": [summary(row, principal) for row in listed(choices[shown][1])[:SHOWN]],
        "filters": [
            {"key": key, "label": label, "count": rows.count(), "current": key == shown}
            for key, (label, rows) in choices.items()
        ],
    }
    return render(request, "review/queue.html", context)


@never_cache
@require_safe
def submission(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """One submission, in tabs."""
    found = _submission(request, submission_id)
    view = present(found, principal_of(request))
    tab = request.GET.get("tab", "overview")
    tab = tab if tab in TABS else "overview"
    context: dict[str, Any] = {
        "s": view,
        "tab": tab,
        "tab_template": f"review/tab_{tab}.html",
        "tabs": _tabs(found, view),
    }
    if tab == "overview":
        version = found.version
        context["purposes"] = [] if found.needs_ethics else sorted(HIGH_RISK_PURPOSES)
        context["declared_purpose"] = found.purpose
        context["asks"] = asks_of(version.manifest, version.permissions) if version else {}
        published = version is not None and version.state == PluginVersion.State.PUBLISHED
        context["can_block"] = (
            published and decisions.decide(principal_of(request), "catalog.version.block", version).allow
        )
    elif tab == "files":
        context |= _files(principal_of(request), found, request.GET.get("path", ""))
    elif tab == "diff":
        context["diff"] = diff_of(principal=principal_of(request), submission=found)
    return render(request, "review/submission.html", context)


def _tabs(found: Submission, view: SubmissionPage) -> list[dict[str, Any]]:
    return [
        {"key": "overview", "label": _("Overview"), "count": None},
        {"key": "findings", "label": _("Findings"), "count": len(view.findings)},
        {"key": "files", "label": _("Files"), "count": None},
        {"key": "diff", "label": _("Changes"), "count": None},
        {"key": "talk", "label": _("Conversation"), "count": len(view.conversation)},
    ]


def _files(principal: Principal, found: Submission, path: str) -> dict[str, Any]:
    files = files_of(principal=principal, submission=found)
    names = {file.path for file in files}
    if path not in names:
        path = "plugin.json" if "plugin.json" in names else ""
    return {
        "files": [{"path": file.path, "size": file.size_bytes, "icon": _icon(file.path)} for file in files],
        "path": path,
        "opened": _opened(content_of(principal=principal, submission=found, path=path)) if path else None,
    }


def _opened(content: FileContent) -> dict[str, Any]:
    if not content.is_text:
        return {"lines": None, "note": _("This file holds binary data.")}
    note = _("Only the beginning is shown.") if content.truncated else ""
    return {"lines": content.text.splitlines(), "note": note}


def _icon(path: str) -> str:
    if path.endswith((".onnx", ".safetensors")):
        return "neurology"
    if path.endswith(".py"):
        return "code"
    return "data_object" if path.endswith(".json") else "description"


@require_POST
def claim(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Take it up."""
    services.claim(principal=principal_of(request), submission_id=submission_id)
    messages.success(request, _("It is yours for eight hours."))
    return _back(submission_id)


@require_POST
def release(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Put it back."""
    services.release_claim(principal=principal_of(request), submission_id=submission_id)
    messages.success(request, _("It is back in the queue."))
    return HttpResponseRedirect(reverse("review-queue"))


@require_POST
def ask(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Ask the publisher."""
    services.ask_publisher(
        principal=principal_of(request), submission_id=submission_id, message=request.POST.get("text", "")
    )
    messages.success(request, _("The publisher has been asked."))
    return _back(submission_id, "talk")


@require_POST
def decide(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Give the verdict."""
    approve = request.POST.get("verdict") == "approve"
    decided = services.decide(
        principal=principal_of(request),
        submission_id=submission_id,
        approve=approve,
        reason=request.POST.get("reason", ""),
        purpose=request.POST.get("purpose", ""),
    )
    messages.success(request, _("Decided: %(state)s.") % {"state": decided.get_state_display()})
    return _back(submission_id)


@require_POST
def block(request: HttpRequest, submission_id: UUID) -> HttpResponse:
    """Take the published version out of circulation everywhere."""
    found = _submission(request, submission_id)
    if found.version_id is None:
        raise NotFound(_("There is no such published version."))
    block_version(
        principal=principal_of(request), version_id=found.version_id, reason=request.POST.get("reason", "")
    )
    messages.success(request, _("Blocked. It answers nothing any more, in any organisation."))
    return _back(submission_id)


def _back(submission_id: UUID, tab: str = "") -> HttpResponseRedirect:
    address = reverse("review-submission", args=[submission_id])
    return HttpResponseRedirect(f"{address}?tab={tab}" if tab else address)
