"""Installing, upgrading, suspending and uninstalling plugins in a tenant."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause
from governance.tenants.tasks import enqueue
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.publication import Step
from marketplace.installs.holding import hold_back
from marketplace.installs.models import Installation, PermissionGrant
from marketplace.installs.states import INSTALLATION_STATES

State = Installation.State
# How long a message may wait in a healthy queue before it is taken for lost.
QUEUE_PATIENCE = timedelta(seconds=60)


@transaction.atomic
def install(*, principal: Principal, plugin_version_id: UUID, grants: list[str]) -> Installation:
    """Install a published version with exactly the rights that it asks for; the work runs in the background.

    Idempotent for the same version. Raises InvalidInput when `grants` differ from what it asks for (and says how),
    Conflict when another version of the plugin is installed.
    """
    version = _installable(plugin_version_id)
    require(principal, "installs.installation.install")
    tenant_id, person = _who(principal)
    _check_grants(version, grants)
    known = (
        Installation.objects.select_for_update(of=("self",))
        .filter(tenant_id=tenant_id, plugin_id=version.plugin_id)
        .exclude(state=State.UNINSTALLED)
        .first()
    )
    if known is not None:
        if known.version_id == version.id:
            return known
        raise Conflict(
            _("“%(name)s” is installed already.") % {"name": version.plugin.slug},
            code="installed",
            hint=_("Upgrade the installation to the other version."),
        )
    try:
        with transaction.atomic():
            installation = Installation.objects.create(
                tenant_id=tenant_id,
                plugin_id=version.plugin_id,
                version=version,
                requested_by_id=person,
                lease_until=timezone.now() + QUEUE_PATIENCE,
            )
    except IntegrityError as error:
        raise Conflict(_("“%(name)s” is being installed.") % {"name": version.plugin.slug}) from error
    _keep_grants(installation, version, person)
    _audit(installation, principal, "install", details={"grants": sorted(grants)})
    enqueue("installs.complete", queue="default", installation_id=installation.id)
    return installation


@transaction.atomic
def upgrade(
    *, principal: Principal, installation_id: UUID, plugin_version_id: UUID, grants: list[str]
) -> Installation:
    """Go to another published version of the same plugin, with exactly the rights that this one asks for.

    Its models become ready versions beside the present ones; traffic moves only when somebody moves it.
    """
    installation = _locked(installation_id)
    require(principal, "installs.installation.upgrade", installation)
    version = _installable(plugin_version_id)
    _tenant_id, person = _who(principal)
    if version.plugin_id != installation.plugin_id:
        raise InvalidInput(_("That is a version of another plugin."))
    if version.id == installation.version_id and installation.state == State.ACTIVE:
        return installation
    _check_grants(version, grants)
    installation.version = version
    installation.requested_by_id = person
    _move(installation, State.INSTALLING, principal=principal)
    _keep_grants(installation, version, person)
    _audit(installation, principal, "upgrade", details={"grants": sorted(grants)})
    enqueue("installs.complete", queue="default", installation_id=installation.id)
    return installation


@transaction.atomic
def retry(*, principal: Principal, installation_id: UUID) -> Installation:
    """Try a failed installation again."""
    installation = _locked(installation_id)
    require(principal, "installs.installation.install", installation)
    if installation.state != State.FAILED:
        raise Conflict(_("Only a failed installation can be tried again."))
    _installable(installation.version_id)
    _move(installation, State.INSTALLING, principal=principal)
    _audit(installation, principal, "retry")
    enqueue("installs.complete", queue="default", installation_id=installation.id)
    return installation


@transaction.atomic
def suspend(*, principal: Principal, installation_id: UUID, reason: str) -> Installation:
    """Stop everything that the plugin gave the tenant, at once; an upgrade ends it."""
    installation = _locked(installation_id)
    require(principal, "installs.installation.suspend", installation)
    if not reason.strip():
        raise InvalidInput(_("Give a reason."))
    installation.reason = reason.strip()
    _move(installation, State.SUSPENDED, principal=principal)
    hold_back(installation, reason=installation.reason)
    _audit(installation, principal, "suspend", reason=reason)
    return installation


@transaction.atomic
def uninstall(*, principal: Principal, installation_id: UUID, reason: str = "") -> Installation:
    """Take the plugin and its rights away. Model versions that still receive traffic stay until it is moved."""
    installation = _locked(installation_id)
    require(principal, "installs.installation.uninstall", installation)
    installation.reason = reason.strip()
    _move(installation, State.UNINSTALLED, principal=principal)
    installation.grants.all().delete()
    _audit(installation, principal, "uninstall", reason=reason)
    enqueue("installs.clear", queue="default", cause=Cause.house(None), installation_id=installation.id)
    return installation


def follow_publication(version: PluginVersion, step: Step, principal: Principal, detail: str) -> None:
    """Listener of the catalogue: a blocked version stops working in every tenant, at once.

    Where it is the installed one, the installation is suspended. Where it was installed before, only what it left
    behind is held back.
    """
    if step is not Step.BLOCKED:
        return
    rows = Installation.objects.select_for_update(of=("self",)).filter(plugin_id=version.plugin_id)
    for installation in rows.exclude(state=State.UNINSTALLED):
        hold_back(installation, version=version.version, reason=detail)
        if installation.version_id == version.id and installation.state != State.SUSPENDED:
            installation.reason = detail
            _move(installation, State.SUSPENDED, principal=principal)
            _audit(installation, principal, "suspend", reason=detail)


def _installable(version_id: UUID) -> PluginVersion:
    rows = PluginVersion.objects.select_related("plugin__partner")
    version = rows.filter(pk=version_id, state=PluginVersion.State.PUBLISHED).first()
    if version is None:
        raise NotFound(_("There is no such published version."))
    return version


def _who(principal: Principal) -> tuple[UUID, UUID]:
    if principal.tenant_id is None or principal.accountable_user_id is None:
        raise InvalidInput(_("An installation needs a tenant and a person who answers for it."))
    return principal.tenant_id, principal.accountable_user_id


def _check_grants(version: PluginVersion, grants: list[str]) -> None:
    asked, given = set(version.permissions), set(grants)
    errors = [
        {
            "pointer": "/grants",
            "detail": _("It asks for “%(right)s”, which is not granted.") % {"right": right},
        }
        for right in sorted(asked - given)
    ]
    errors += [
        {"pointer": "/grants", "detail": _("It does not ask for “%(right)s”.") % {"right": right}}
        for right in sorted(given - asked)
    ]
    if errors:
        raise InvalidInput(
            _("The rights granted must be exactly those that the plugin asks for."),
            code="grants-differ",
            hint=" ".join(str(error["detail"]) for error in errors),
            errors=errors,
        )


def _keep_grants(installation: Installation, version: PluginVersion, person: UUID) -> None:
    PermissionGrant.objects.bulk_create(
        [
            PermissionGrant(
                tenant_id=installation.tenant_id,
                installation=installation,
                version=version,
                permission=permission,
                granted_by_id=person,
            )
            for permission in version.permissions
        ],
        ignore_conflicts=True,
    )


def _locked(installation_id: UUID) -> Installation:
    rows = Installation.objects.select_for_update(of=("self",)).select_related("plugin", "version")
    installation = rows.filter(pk=installation_id).first()
    if installation is None:
        raise NotFound(_("There is no such installation."))
    return installation


def _move(installation: Installation, target: str, *, principal: Principal) -> None:
    INSTALLATION_STATES.check(installation.state, target, principal.roles)
    installation.state = target
    installation.state_changed_at = timezone.now()
    installation.lease_until = timezone.now() + QUEUE_PATIENCE if target == State.INSTALLING else None
    if target == State.INSTALLING:
        installation.attempts, installation.error, installation.reason = 0, "", ""
    installation.save()


def _audit(
    installation: Installation,
    principal: Principal,
    step: str,
    *,
    reason: str = "",
    details: dict[str, object] | None = None,
) -> None:
    record(
        principal=principal,
        action=f"installs.installation.{step}",
        target=ObjectRef.of(installation, digest=installation.version.sha256),
        tenant_id=installation.tenant_id,
        reason=reason,
        details=details,
    )
