"""The console's pages about an endpoint's routing rules, and about versions that compete for its traffic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.errors import DomainError, InvalidInput
from inference.rollouts.bandit_rollouts import start_bandit
from inference.rollouts.models import Endpoint
from inference.rollouts.routing_forms import CohortForm, CompeteForm, Rules, ShadowForm
from inference.rollouts.routing_rules import rules_of, set_routing
from inference.rollouts.selectors import candidates
from inference.rollouts.views import endpoint_of

LISTS: dict[str, tuple[str, type[CohortForm] | type[ShadowForm]]] = {
    "cohorts": ("name", CohortForm),
    "shadows": ("version", ShadowForm),
}


@never_cache
@require_http_methods(["GET", "POST"])
def routing(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """The rules beside the split. `do` is “put” or “drop”, `of` the list, `was` the rule that is meant, if any.

    Each change is one entry in the endpoint's history, and is taken back there.
    """
    principal = principal_of(request)
    endpoint = endpoint_of(request, endpoint_id)
    require(principal, "rollouts.endpoint.split", endpoint)
    if request.method != "POST":
        return _rules_page(request, endpoint)
    kind, was = request.POST.get("of", ""), request.POST.get("was", "")
    if kind not in LISTS or request.POST.get("do", "") not in ("put", "drop"):
        raise InvalidInput(_("Choose one from the list."))
    present = rules_of(endpoint)
    if request.POST["do"] == "drop":
        reason = _("rule for “%(name)s” removed") % {"name": was[:64]}
        return _set(request, endpoint, present, _without(present, kind, was), reason=reason)
    meant = next((rule for rule in present[kind] if rule[LISTS[kind][0]] == was), None)
    form = _form(endpoint, kind, was, data=request.POST, rule=meant)
    if not form.is_valid():
        return _rules_page(request, endpoint, bound=form, kind=kind, was=was)
    wanted = _with(present, kind, was, form.rule)
    # The others stood there before, so what is wrong now is this one, wherever it is noticed.
    places = {
        f"/{kind}/{number}/{field}": field for number in range(len(wanted[kind])) for field in form.fields
    }
    try:
        return _set(request, endpoint, present, wanted, reason=form.cleaned_data["reason"])
    except InvalidInput as error:
        form.refused(error, places)
        return _rules_page(request, endpoint, bound=form, kind=kind, was=was)


@never_cache
@require_http_methods(["GET", "POST"])
def compete(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Let versions compete by the rewards that come back."""
    principal = principal_of(request)
    endpoint = endpoint_of(request, endpoint_id)
    require(principal, "rollouts.endpoint.split", endpoint)
    versions = [version.version for version in candidates(endpoint)]
    form = CompeteForm(request.POST or None, versions=versions, label_suffix="")
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                made = start_bandit(
                    principal=principal,
                    endpoint_id=endpoint.id,
                    versions=form.cleaned_data["versions"],
                    plan=form.plan,
                    reason=form.cleaned_data["reason"],
                )
            except DomainError as error:
                if error.status in (401, 403):
                    raise
                form.refused(
                    error, {"/versions": "versions"} | {f"/plan/{name}": name for name in form.fields}
                )
                status = error.status
            else:
                messages.success(
                    request, _("The versions compete now; the traffic follows by itself from here.")
                )
                return HttpResponseRedirect(reverse("rollout", args=[made.id]))
    whole = next((arm.model_version.version for arm in endpoint.arms.all() if arm.weight == 100), "")
    context = {"endpoint": endpoint, "form": form, "stable": whole, "some": bool(versions)}
    return render(request, "rollouts/compete.html", context, status=status)


def _set(
    request: HttpRequest, endpoint: Endpoint, present: Rules, wanted: Rules, *, reason: str
) -> HttpResponse:
    set_routing(
        principal=principal_of(request),
        endpoint_id=endpoint.id,
        cohorts=wanted["cohorts"],
        shadows=wanted["shadows"],
        reason=reason,
        expected=present,
    )
    messages.success(request, _("The rules are set; every process follows them within a second."))
    return HttpResponseRedirect(reverse("page-endpoint-routing", args=[endpoint.id]))


def _without(rules: Rules, kind: str, name: str) -> Rules:
    key = LISTS[kind][0]
    return rules | {kind: [rule for rule in rules[kind] if rule[key] != name]}


def _with(rules: Rules, kind: str, was: str, rule: dict[str, Any]) -> Rules:
    """The rules with this one in the place of the one called `was`, or at the end."""
    key = LISTS[kind][0]
    names = [one[key] for one in rules[kind]]
    number = names.index(was) if was in names else len(names)
    return rules | {kind: [*rules[kind][:number], rule, *rules[kind][number + 1 :]]}


def _form(
    endpoint: Endpoint, kind: str, was: str, data: Any = None, rule: dict[str, Any] | None = None
) -> CohortForm | ShadowForm:
    """The form of one rule, or of a new one where `was` is empty."""
    initial = None
    if rule is not None:
        initial = rule | ({"members": "\n".join(rule["members"])} if kind == "cohorts" else {})
    versions = [
        arm.model_version.version for arm in endpoint.arms.all() if kind == "cohorts" or not arm.weight
    ]
    return LISTS[kind][1](
        data, versions=_and(versions, rule), initial=initial, auto_id=f"{kind}-{was}-%s", label_suffix=""
    )


def _and(versions: list[str], rule: dict[str, Any] | None) -> Iterable[str]:
    """A rule whose version is gone shows it all the same."""
    return dict.fromkeys([*versions, *([rule["version"]] if rule is not None else [])])


def _rules_page(
    request: HttpRequest,
    endpoint: Endpoint,
    *,
    bound: CohortForm | ShadowForm | None = None,
    kind: str = "",
    was: str = "",
) -> HttpResponse:
    rules = rules_of(endpoint)
    known = {arm.model_version.version: arm.weight for arm in endpoint.arms.all()}
    context: dict[str, Any] = {"endpoint": endpoint, "rules": rules}
    for each, (key, _form_class) in LISTS.items():
        context[each] = [
            {
                "rule": rule,
                "name": rule[key],
                "void": rule["version"] not in known or (each == "shadows" and known[rule["version"]] > 0),
                "open": bound is not None and (kind, was) == (each, rule[key]),
                "form": bound
                if bound is not None and (kind, was) == (each, rule[key])
                else _form(endpoint, each, rule[key], rule=rule),
            }
            for rule in rules[each]
        ]
        names = [rule[key] for rule in rules[each]]
        new = bound if bound is not None and kind == each and was not in names else None
        context[f"new_{each}"] = new or _form(endpoint, each, "")
    context["idle"] = any(not weight for weight in known.values())
    return render(request, "rollouts/routing.html", context, status=200 if bound is None else 400)
