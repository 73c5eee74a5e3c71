"""The auditor's pages: the log, its chains, and how long it is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from governance.audit import retention, runs, selectors
from governance.audit.filters import AuditEntryFilter
from governance.audit.findings import Problem
from governance.audit.gate import may, principal_of, require
from governance.audit.models import SHORTEST_RETENTION_DAYS, AuditEntry, ChainVerification
from governance.audit.streams import answer_with_export
from governance.errors import InvalidInput
from governance.principals import Principal

# Answers that the filters of the page offer, before the seldom used ones.
FIRST_FILTERS = ("actor", "action", "decision", "since", "until", "text")


@never_cache
@require_safe
def log(request: HttpRequest) -> HttpResponse:
    """The log with its filters, page by page."""
    principal = principal_of(request)
    require(principal, "audit.entry.view")
    given, wanted = _searched(request)
    rows = selectors.search(principal, wanted).select_related("tenant")
    page = selectors.page_of(rows, after=request.GET.get("after", ""))
    query = {name: value for name, value in request.GET.items() if name != "after" and value}
    context = {
        "page": page,
        "first": [given.form[name] for name in FIRST_FILTERS],
        "more": [given.form[name] for name in given.form.fields if name not in (*FIRST_FILTERS, "actor_id")],
        "errors": given.errors,
        "narrowed": bool(query),
        "next": urlencode({**query, "after": page.next}) if page.next else "",
        "query": urlencode(query),
        "later": "after" in request.GET,
        "may_export": may(principal, "audit.entry.export"),
        "may_ask_why": may(principal, "policies.decision.view"),
    }
    return render(request, "audit/log.html", context)


@never_cache
@require_safe
@transaction.non_atomic_requests
def export(request: HttpRequest) -> HttpResponseBase:
    """The log as a file, with the page's filters."""
    principal = principal_of(request)
    require(principal, "audit.entry.export")
    given, wanted = _searched(request)
    if given.errors:
        raise InvalidInput(_("Some filters are not valid."), hint=_("Correct them on the page of the log."))
    return answer_with_export(
        request, action="audit.entry.export", wanted=wanted, form=request.GET.get("file", "csv")
    )


def _searched(request: HttpRequest) -> tuple[AuditEntryFilter, selectors.Search]:
    values = request.GET.copy()
    for name in ("since", "until"):
        # The page's fields give a local time without a zone; the site's times are UTC.
        if (text := values.get(name, "")) and "+" not in text and not text.endswith("Z"):
            values[name] = f"{text}Z" if "T" in text else f"{text}T00:00:00Z"
    given = AuditEntryFilter(values, queryset=AuditEntry.objects.none())
    valid = given.is_valid()
    for name, kind in (("since", "date"), ("until", "date"), ("tenant", "text")):
        given.form.fields[name].widget.input_type = kind
    return given, given.wanted if valid else selectors.Search()


@never_cache
@require_safe
def chains(request: HttpRequest) -> HttpResponse:
    """Every chain with a green or a red answer; asked for by htmx, only the rows."""
    principal = principal_of(request)
    require(principal, "audit.chain.view")
    context = _chains(principal)
    part = request.headers.get("HX-Request") == "true"
    return render(request, "audit/chain_rows.html" if part else "audit/chains.html", context)


@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """Begin to verify one chain."""
    runs.start_verification(principal=principal_of(request), tenant_id=_uuid(request, "tenant"))
    messages.info(request, _("The chain is being verified."))
    return HttpResponseRedirect(reverse("audit-chains"))


def _chains(principal: Principal) -> dict[str, Any]:
    rows = selectors.chains(principal)
    busy = (ChainVerification.State.QUEUED, ChainVerification.State.RUNNING)
    return {
        "rows": [
            {
                "chain": chain,
                "problems": [Problem.from_json(p) for p in chain.latest.problems] if chain.latest else [],
                "busy": chain.latest is not None and chain.latest.state in busy,
                "may_verify": may(principal, "audit.chain.verify", tenant_id=chain.tenant.id),
            }
            for chain in rows
        ],
        "busy": any(chain.latest is not None and chain.latest.state in busy for chain in rows),
    }


@never_cache
@require_safe
def keeping(request: HttpRequest) -> HttpResponse:
    """Retention, legal holds and what was removed."""
    principal = principal_of(request)
    require(principal, "audit.chain.view")
    found = selectors.keeping(principal)
    context = {
        "policies": found.policies,
        "holds": found.holds,
        "cuts": found.cuts,
        "tenants": selectors.tenants_for(principal),
        "least": SHORTEST_RETENTION_DAYS,
        "may_retain": may(principal, "audit.retention.manage"),
        "may_hold": may(principal, "audit.hold.set"),
        "may_release": may(principal, "audit.hold.release"),
        "own_id": principal.accountable_user_id,
    }
    return render(request, "audit/keeping.html", context)


@require_POST
def set_retention(request: HttpRequest) -> HttpResponse:
    """Change how long a tenant's entries are kept."""
    days = request.POST.get("days", "").strip()
    if days and not days.isdecimal():
        raise InvalidInput(_("The number of days is a number."))
    retention.set_retention(
        principal=principal_of(request),
        tenant_id=_uuid(request, "tenant"),
        days=int(days[:9]) if days else None,
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, _("The retention has been changed."))
    return HttpResponseRedirect(reverse("audit-keeping"))


@require_POST
def set_hold(request: HttpRequest) -> HttpResponse:
    """Set a legal hold."""
    retention.set_hold(
        principal=principal_of(request),
        tenant_id=_uuid(request, "tenant"),
        reason=request.POST.get("reason", ""),
        from_at=_day(request, "from"),
        to_at=_day(request, "to"),
    )
    messages.success(request, _("The hold is in force."))
    return HttpResponseRedirect(reverse("audit-keeping"))


@require_POST
def release_hold(request: HttpRequest, hold_id: UUID) -> HttpResponse:
    """Release a legal hold that somebody else has set."""
    retention.release_hold(
        principal=principal_of(request), hold_id=hold_id, reason=request.POST.get("reason", "")
    )
    messages.success(request, _("The hold has been released."))
    return HttpResponseRedirect(reverse("audit-keeping"))


def _uuid(request: HttpRequest, name: str) -> UUID:
    try:
        return UUID(request.POST.get(name, ""))
    except ValueError as error:
        raise InvalidInput(_("Choose a tenant.")) from error


def _day(request: HttpRequest, name: str) -> datetime | None:
    text = request.POST.get(name, "")
    if not text:
        return None
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise InvalidInput(_("“%(text)s” is no day.") % {"text": text[:40]})
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
