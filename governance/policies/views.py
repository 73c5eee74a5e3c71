"""The pages of policies: versions, the editor, the what-if panel, and the rules that ship with the product."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.cedar.engine import RULES
from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.access.rules import GROUPS, registered_actions
from governance.errors import DomainError, InvalidInput
from governance.policies import selectors, services
from governance.policies.models import PolicyVersion
from governance.policies.validation import problems_of
from governance.policies.what_if import what_if
from governance.principals import Principal

State = PolicyVersion.State
LISTED = 100


@never_cache
@require_safe
def versions(request: HttpRequest) -> HttpResponse:
    """Every version of the tenant's policies, the one in force first."""
    principal = principal_of(request)
    require(principal, "policies.version.view")
    rows = list(selectors.versions_of(selectors.home_of(principal))[:LISTED])
    context = {
        "active": next((row for row in rows if row.state == State.ACTIVE), None),
        "rows": rows,
        "may_draft": decide(principal, "policies.version.draft").allow,
        "platform_text": "" if principal.platform else selectors.platform_text(),
    }
    return render(request, "policies/versions.html", context)


@never_cache
@require_safe
def version(request: HttpRequest, version_id: UUID) -> HttpResponse:
    """One version: its text, what it changes, and what can be done with it."""
    principal = principal_of(request)
    found = selectors.version(version_id)
    require(principal, "policies.version.view", found)
    return render(request, "policies/version.html", _page_of(principal, found))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, version_id: UUID | None = None) -> HttpResponse:
    """The editor: a new draft (of another version with ?of=), or one's own draft."""
    principal = principal_of(request)
    require(principal, "policies.version.draft")
    own = selectors.version(version_id) if version_id else None
    if request.method == "POST":
        return _save(request, principal, own)
    start = own or _copied(request, principal)
    text, note = (start.text, own.note if own else "") if start else (EXAMPLE, "")
    return _editor(request, own, text, note)


@never_cache
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """What is wrong with the text in the editor: the part of the page that htmx replaces."""
    require(principal_of(request), "policies.version.draft")
    text = request.POST.get("text", "").replace("\r\n", "\n")
    return render(request, "policies/problems.html", {"problems": problems_of(text), "checked": True})


@never_cache
@require_POST
def what_if_panel(request: HttpRequest) -> HttpResponse:
    """What the text would have decided: the part of the page that htmx replaces."""
    principal = principal_of(request)
    require(principal, "policies.decision.view")
    hours = request.POST.get("hours", "24")
    text = request.POST.get("text", "").replace("\r\n", "\n")
    try:
        if given := request.POST.get("version"):
            text = selectors.version(UUID(given)).text
        report = what_if(
            principal=principal,
            tenant_id=principal.tenant_id,
            text=text,
            hours=int(hours) if hours.isdecimal() else 0,
        )
    except (DomainError, ValueError) as error:
        return render(request, "policies/report.html", {"error": error})
    return render(request, "policies/report.html", {"report": report})


@require_POST
def take_step(request: HttpRequest, version_id: UUID, step: str) -> HttpResponse:
    """Propose, activate, withdraw or bring back a version, then show where that led."""
    principal, reason = principal_of(request), request.POST.get("reason", "")
    try:
        if step == "propose":
            done = services.propose(principal=principal, version_id=version_id)
            messages.success(request, _("Proposed. Somebody else puts it in force."))
        elif step == "activate":
            done = services.activate(principal=principal, version_id=version_id, reason=reason)
            messages.success(request, _("In force, everywhere within a second."))
        elif step == "withdraw":
            done = services.withdraw(principal=principal, version_id=version_id, reason=reason)
            messages.success(request, _("Withdrawn."))
        elif step == "roll-back":
            done = services.roll_back(principal=principal, version_id=version_id, reason=reason)
            messages.success(request, _("Proposed again. Somebody else puts it in force."))
        else:
            raise Http404
    except InvalidInput as error:
        found = selectors.version(version_id)
        context = _page_of(principal, found) | {"error": error}
        return render(request, "policies/version.html", context, status=error.status)
    return HttpResponseRedirect(reverse("policies-version", args=[done.id]))


@never_cache
@require_safe
def shipped(request: HttpRequest) -> HttpResponse:
    """The product's own rules as they are, and the actions that policies may name."""
    principal = principal_of(request)
    require(principal, "policies.version.view")
    files = [
        (path.stem.replace("_", " "), path.read_text(encoding="utf-8"))
        for path in sorted(RULES.glob("*.cedar"))
    ]
    actions = sorted(registered_actions().values(), key=lambda rule: rule.action)
    context = {
        "files": files,
        "platform_text": selectors.platform_text(),
        "groups": [(name, _(text)) for name, text in GROUPS.items()],
        "actions": [(rule.action, ", ".join(sorted(rule.names - {rule.action}))) for rule in actions],
    }
    return render(request, "policies/shipped.html", context)


def _save(request: HttpRequest, principal: Principal, own: PolicyVersion | None) -> HttpResponse:
    text, note = request.POST.get("text", ""), request.POST.get("note", "")
    try:
        saved = services.save_draft(
            principal=principal, text=text, note=note, version_id=own.id if own else None
        )
        if request.POST.get("then") == "propose":
            services.propose(principal=principal, version_id=saved.id)
            messages.success(request, _("Proposed. Somebody else puts it in force."))
        else:
            messages.success(request, _("Saved as a draft; nothing has changed yet."))
    except InvalidInput as error:
        # The draft that was saved a moment ago is kept: its mistakes are shown beside it.
        problems = problems_of(text.replace("\r\n", "\n"))
        return _editor(request, own, text, note, error=None if problems else error, problems=problems)
    return HttpResponseRedirect(reverse("policies-version", args=[saved.id]))


def _editor(
    request: HttpRequest, own: PolicyVersion | None, text: str, note: str, **more: Any
) -> HttpResponse:
    status = 400 if more.get("problems") or more.get("error") else 200
    context = {"own": own, "text": text, "note": note, "checked": status == 400, **more}
    return render(request, "policies/editor.html", context, status=status)


def _copied(request: HttpRequest, principal: Principal) -> PolicyVersion | None:
    given = request.GET.get("of", "")
    if not given:
        return selectors.active_version(selectors.home_of(principal))
    try:
        return selectors.version(UUID(given))
    except ValueError as error:
        raise Http404 from error


def _page_of(principal: Principal, found: PolicyVersion) -> dict[str, Any]:
    own = principal.accountable_user_id == found.author_id
    active = selectors.active_version(found.tenant_id)
    base = active.text if active and active.pk != found.pk else ""
    may = {
        name: decide(
            principal, f"policies.version.{name}", found, context={"requested_by": str(found.author_id)}
        ).allow
        for name in ("propose", "activate", "withdraw", "draft")
    }
    return {
        "version": found,
        "active": active,
        "own": own,
        "lines": found.text.splitlines(),
        "diff": selectors.difference(base, found.text) if active and active.pk != found.pk else [],
        "may_edit": own and may["draft"] and found.state == State.DRAFT,
        "may_propose": own and may["propose"] and found.state == State.DRAFT,
        "may_activate": not own and may["activate"] and found.state == State.PROPOSED,
        "may_withdraw": may["withdraw"] and found.state in (State.DRAFT, State.PROPOSED),
        "may_roll_back": may["propose"] and found.state == State.RETIRED,
        "may_draft": may["draft"],
        "may_what_if": decide(principal, "policies.decision.view").allow,
    }


EXAMPLE = """\
// A policy narrows what roles and grants allow. The reason is what people read when it refuses.

@id("batch-in-the-evening")
@reason("Batch jobs run in the evening, so that the branch offices have the machines by day.")
@help("Come back after 18:00 UTC, or ask the data office.")
forbid (principal, action == Action::"serving.batch.create", resource)
when { context.hour >= 7 && context.hour < 18 };
"""
