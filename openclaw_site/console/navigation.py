"""The sidebar: what a principal may open, by the same decisions that the pages themselves ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from governance.access.decisions import decide
from governance.access.requests import principal_of
from governance.principals import Principal


@dataclass(frozen=True, slots=True)
class Item:
    """One entry: shown when `action` is allowed, and the action `also` where there is one. `route` is a URL name."""

    title: str | Promise
    icon: str
    route: str
    action: str
    count: Callable[[Principal], int] | None = None
    also: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the template shows it."""

    title: str | Promise
    icon: str
    url: str
    active: bool
    count: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Entries under one heading."""

    title: str | Promise
    items: list[Entry]


MENU: tuple[tuple[str | Promise, tuple[Item, ...]], ...] = (
    (
        _("Overview"),
        (Item(_("State of the house"), "monitoring", "admin:index", "site.house.view"),),
    ),
    (
        _("Publishing"),
        (
            Item(_("My plugins"), "extension", "partner-home", "site.portal.open"),
            Item(_("Upload a version"), "upload", "partner-upload", "site.portal.open"),
            Item(_("Command-line access"), "terminal", "applications", "site.portal.open"),
        ),
    ),
    (
        _("Review"),
        (
            Item(_("Review queue"), "rate_review", "review-queue", "review.submission.inspect"),
            Item(
                _("Submissions"),
                "inventory",
                "admin:review_submission_changelist",
                "review.submission.inspect",
            ),
            Item(_("Check runs"), "fact_check", "admin:review_checkrun_changelist", "review.check.view"),
            Item(_("Partner applications"), "handshake", "partner-applications", "catalog.application.view"),
        ),
    ),
    (
        _("Ethics"),
        (
            Item(_("Approvals to decide"), "balance", "ethics-queue", "ethics.approval.decide"),
            Item(
                _("All approvals"), "history_edu", "admin:ethics_approval_changelist", "ethics.approval.view"
            ),
            Item(_("Approved uses"), "verified", "ethics-uses", "ethics.binding.view"),
            Item(_("Incidents"), "report", "incidents", "ethics.incident.view", also="site.console.open"),
        ),
    ),
    (
        _("Catalogue"),
        (
            Item(
                _("Published plugins"),
                "storefront",
                "catalogue",
                "catalog.plugin.view",
                also="site.console.open",
            ),
            Item(_("Installations"), "deployed_code", "installations", "installs.installation.view"),
            Item(_("Plugins"), "extension", "admin:catalog_plugin_changelist", "catalog.plugin.view"),
            Item(
                _("Plugin versions"),
                "package_2",
                "admin:catalog_pluginversion_changelist",
                "catalog.plugin.view",
            ),
        ),
    ),
    (
        _("Models and endpoints"),
        (
            Item(_("Endpoints"), "alt_route", "endpoints", "rollouts.endpoint.view"),
            Item(_("Models"), "neurology", "admin:registry_model_changelist", "registry.model.view"),
            Item(
                _("Model versions"), "layers", "admin:registry_modelversion_changelist", "registry.model.view"
            ),
            Item(_("Base capabilities"), "auto_awesome", "capabilities", "capabilities.capability.view"),
            Item(_("Batch jobs"), "stacks", "batch-jobs", "serving.batch.view"),
            Item(_("Skills"), "bolt", "skills", "library.skill.view"),
        ),
    ),
    (
        _("Data"),
        (
            Item(_("Data catalogue"), "database", "data-catalogue", "data.asset.view"),
            Item(_("Datasets"), "dataset", "data-datasets", "data.asset.view"),
            Item(_("Placement"), "lan", "data-placement", "data.placement.view"),
            Item(_("Erasures"), "delete_forever", "data-erasures", "data.erasure.view"),
        ),
    ),
    (
        _("Access"),
        (
            Item(_("Applications"), "api", "applications", "site.console.applications"),
            Item(_("Devices"), "devices", "devices", "access.device.view"),
            Item(_("Tenants"), "domain", "admin:tenants_tenant_changelist", "tenants.tenant.view"),
            Item(_("People"), "group", "admin:tenants_user_changelist", "tenants.membership.view"),
            Item(_("Second factors"), "passkey", "identity-people", "identity.session.view"),
            Item(_("Open sessions"), "devices", "identity-sessions", "identity.session.view"),
            Item(_("Sign-in rules"), "rule", "identity-rules", "identity.policy.view"),
            Item(_("Company sign-in"), "key_visualizer", "identity-providers", "identity.provider.view"),
            Item(_("Memberships"), "badge", "admin:tenants_membership_changelist", "tenants.membership.view"),
            Item(_("Oversight queue"), "how_to_reg", "oversight-queue", "oversight.task.view"),
            Item(_("Stop buttons"), "emergency_home", "stop-buttons", "oversight.stop.view"),
            Item(_("Access review"), "person_search", "access-review", "privilege.right.view"),
            Item(_("Elevated rights"), "trending_up", "elevations", "privilege.elevation.view"),
            Item(_("Policies"), "gavel", "policies", "policies.version.view"),
            Item(_("Decisions"), "rule", "policies-decisions", "policies.decision.view"),
            Item(_("Security events"), "crisis_alert", "security-events", "events.event.view"),
            Item(_("Keys"), "key", "keys", "keys.key.view"),
            Item(_("Audit log"), "policy", "audit-log", "audit.entry.view"),
            Item(_("Chain verification"), "verified", "audit-chains", "audit.chain.view"),
            Item(_("Retention and legal holds"), "gavel", "audit-keeping", "audit.chain.view"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[Group]:
    """The groups and entries that this request's principal may open, the present one marked."""
    principal = principal_of(request)
    found: list[tuple[str | Promise, list[tuple[Item, str]]]] = []
    for title, items in MENU:
        entries = [(item, url) for item in items if _allowed(principal, item) and (url := _url(item))]
        if entries:
            found.append((title, entries))
    urls = [url for _title, entries in found for _item, url in entries]
    here = max(
        (u for u in urls if request.path.startswith(u) and (u != _home() or request.path == u)),
        key=len,
        default="",
    )
    return [
        Group(
            title,
            [
                Entry(item.title, item.icon, url, url == here, item.count(principal) if item.count else 0)
                for item, url in entries
            ],
        )
        for title, entries in found
    ]


def _allowed(principal: Principal, item: Item) -> bool:
    if item.route.startswith("admin:") and not decide(principal, "site.console.open").allow:
        return False
    if item.also and not decide(principal, item.also).allow:
        return False
    return decide(principal, item.action).allow


def _home() -> str:
    return reverse("admin:index")


def _url(item: Item) -> str:
    try:
        return reverse(item.route)
    except NoReverseMatch:
        return ""
