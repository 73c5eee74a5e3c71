"""The console's pages for finding plugins, installing them with exactly the rights they ask for, and upgrading them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import AccessDenied, DomainError, NotFound
from governance.principals import Principal
from marketplace.catalog import selectors as catalog
from marketplace.catalog.models import PluginVersion
from marketplace.installs import selectors, services
from marketplace.installs.models import Installation
from marketplace.review.presentation import asks_of

State = Installation.State
TONES = {
    State.INSTALLING: "info",
    State.ACTIVE: "good",
    State.FAILED: "bad",
    State.SUSPENDED: "warn",
    State.UNINSTALLED: "",
}


@never_cache
@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    """Every published plugin, to be searched."""
    require(principal_of(request), "catalog.plugin.view")
    search = request.GET.get("q", "").strip()[:100]
    context = {"plugins": catalog.catalogue(search=search)[:200], "q": search}
    return render(request, "installs/catalogue.html", context)


@never_cache
@require_safe
def plugin(request: HttpRequest, slug: str) -> HttpResponse:
    """One plugin with its published versions, and what is installed of it."""
    principal = principal_of(request)
    require(principal, "catalog.plugin.view")
    found = catalog.catalogue().filter(slug=slug).first()
    if found is None:
        raise NotFound(_("There is no such plugin in the catalogue."))
    versions: list[PluginVersion] = getattr(found, "published", [])
    latest = versions[0] if versions else None
    own = selectors.of_plugin(found.id, tenant_id=principal.tenant_id) if principal.tenant_id else None
    context = {
        "plugin": found,
        "latest": latest,
        "asks": asks_of(latest.manifest, latest.permissions) if latest else {},
        "installation": own,
        "may_install": decide(principal, "installs.installation.install").allow,
    }
    return render(request, "installs/plugin.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def install(request: HttpRequest, version_id: UUID) -> HttpResponse:
    """Everything that a version asks for, right by right; POST installs it or upgrades what is installed."""
    principal = principal_of(request)
    require(principal, "installs.installation.install")
    version = catalog.published_versions().filter(pk=version_id).first()
    if version is None or principal.tenant_id is None:
        raise NotFound(_("There is no such published version."))
    own = selectors.of_plugin(version.plugin_id, tenant_id=principal.tenant_id)
    context: dict[str, Any] = {
        "version": version,
        "asks": asks_of(version.manifest, version.permissions),
        "installation": own,
        "changes": selectors.permission_changes(own, version) if own else None,
    }
    if request.method == "POST":
        given = request.POST.getlist("grants")
        try:
            with transaction.atomic():
                done = _install(principal, own, version, given)
        except AccessDenied:
            raise
        except DomainError as error:
            context |= {"error": error, "given": given}
            return render(request, "installs/install.html", context, status=error.status)
        return HttpResponseRedirect(reverse("installation", args=[done.id]))
    return render(request, "installs/install.html", context)


def _install(
    principal: Principal, own: Installation | None, version: PluginVersion, grants: list[str]
) -> Installation:
    if own is not None and own.version_id != version.id:
        return services.upgrade(
            principal=principal, installation_id=own.id, plugin_version_id=version.id, grants=grants
        )
    return services.install(principal=principal, plugin_version_id=version.id, grants=grants)


@never_cache
@require_safe
def installations(request: HttpRequest) -> HttpResponse:
    """What is installed."""
    principal = principal_of(request)
    require(principal, "installs.installation.view")
    rows = selectors.installations().select_related("tenant")
    context = {"rows": [{"installation": row, "tone": TONES[State(row.state)]} for row in rows[:200]]}
    return render(request, "installs/installations.html", context)


def _detail(request: HttpRequest, installation_id: UUID) -> dict[str, Any]:
    principal = principal_of(request)
    found = selectors.get_installation(principal=principal, installation_id=installation_id)
    newest = catalog.published_versions().filter(plugin_id=found.plugin_id).order_by("-published_at").first()
    may = decide(principal, "installs.installation.install").allow
    return {
        "installation": found,
        "tone": TONES[State(found.state)],
        "busy": found.state == State.INSTALLING,
        "granted": selectors.granted(found),
        "newer": newest if may and newest and newest.id != found.version_id else None,
        "may_retry": may and found.state == State.FAILED,
        "may_uninstall": decide(principal, "installs.installation.uninstall", found).allow,
    }


@never_cache
@require_safe
def installation(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """One installation, which refreshes itself while work is going on."""
    return render(request, "installs/installation.html", _detail(request, installation_id))


@never_cache
@require_safe
def installation_live(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """The part that is fetched again; it stops asking once the work is done."""
    return render(request, "installs/installation_live.html", _detail(request, installation_id))


@require_POST
def retry(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Try a failed installation again."""
    services.retry(principal=principal_of(request), installation_id=installation_id)
    return HttpResponseRedirect(reverse("installation", args=[installation_id]))


@require_POST
def uninstall(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """Take the plugin and its rights away."""
    services.uninstall(
        principal=principal_of(request),
        installation_id=installation_id,
        reason=request.POST.get("reason", "") or _("uninstalled in the console"),
    )
    messages.success(request, _("The plugin is uninstalled and its rights are gone."))
    return HttpResponseRedirect(reverse("installations"))
