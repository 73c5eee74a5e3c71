"""Every change of plugins and their versions."""

from __future__ import annotations

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
from governance.tenants.models import Tenant
from governance.tenants.tasks import enqueue
from marketplace.catalog.manifest import Manifest
from marketplace.catalog.models import Partner, Plugin, PluginVersion
from marketplace.catalog.publication import Step, tell
from marketplace.catalog.risk import RiskLevel, because_of_purpose
from marketplace.catalog.states import VERSION_STATES

State = PluginVersion.State


@transaction.atomic
def register_version(
    *,
    principal: Principal,
    tenant_id: UUID,
    manifest: Manifest,
    sha256: str,
    size_bytes: int,
    archive_path: str,
    submission_id: UUID,
) -> PluginVersion:
    """Enter a version that has passed its checks; its plugin too, if it is the first.

    Idempotent per submission. Raises Conflict when the name belongs to another partner or the number is taken.
    """
    require(principal, "catalog.version.register", tenant_id=tenant_id)
    known = PluginVersion.objects.filter(submission_id=submission_id).first()
    if known is not None:
        return known
    partner = profile_of(tenant_id)
    plugin = Plugin.objects.filter(slug=manifest.name).first()
    if plugin is None:
        plugin = Plugin.objects.create(
            tenant_id=tenant_id, partner=partner, slug=manifest.name, description=manifest.description
        )
    if plugin.tenant_id != tenant_id:
        raise Conflict(
            _("The plugin name “%(name)s” belongs to another partner.") % {"name": manifest.name},
            code="name-taken",
            hint=_("Choose another name in plugin.json."),
        )
    risk = manifest.risk()
    try:
        with transaction.atomic():
            version = PluginVersion.objects.create(
                tenant_id=tenant_id,
                plugin=plugin,
                version=manifest.version,
                sha256=sha256,
                size_bytes=size_bytes,
                manifest=dict(manifest.raw),
                permissions=list(manifest.permissions.grants()),
                risk_level=str(risk.level),
                risk_reasons=[reason.as_json() for reason in risk.reasons],
                purpose=manifest.purpose,
                submission_id=submission_id,
                archive_path=archive_path,
            )
    except IntegrityError as error:
        raise Conflict(
            _("There already is a version %(version)s of “%(name)s”.")
            % {"version": manifest.version, "name": manifest.name},
            code="version-taken",
            hint=_("Raise the version number in plugin.json."),
        ) from error
    record(
        principal=principal,
        action="catalog.version.register",
        target=ObjectRef.of(version, digest=sha256),
        tenant_id=tenant_id,
        details={"risk": str(risk.level)},
    )
    return version


def correct_purpose(version: PluginVersion, *, principal: Principal, purpose: str) -> None:
    """A reviewer found that it is for a high-risk purpose, whatever its manifest says: its risk is high from now on."""
    version.purpose = purpose
    version.risk_level = str(RiskLevel.HIGH)
    version.risk_reasons = [
        because_of_purpose(purpose).as_json(),
        *(
            reason
            for reason in version.risk_reasons
            if reason.get("code") not in ("risk.none", "risk.purpose")
        ),
    ]
    version.save(update_fields=["purpose", "risk_level", "risk_reasons"])
    record(
        principal=principal,
        action="catalog.version.correct_purpose",
        target=ObjectRef.of(version, digest=version.sha256),
        tenant_id=version.tenant_id,
        details={"purpose": purpose},
    )


def profile_of(tenant_id: UUID) -> Partner:
    """The partner's public profile, made from its tenant when it does not exist yet."""
    known = Partner.objects.filter(tenant_id=tenant_id).first()
    if known is not None:
        return known
    tenant = Tenant.objects.get(pk=tenant_id)
    if tenant.kind != Tenant.Kind.PARTNER:
        raise InvalidInput(_("Only a partner can publish plugins."))
    return Partner.objects.create(tenant=tenant, slug=tenant.slug, display_name=tenant.name)


@transaction.atomic
def approve_version(*, principal: Principal, version_id: UUID, approvals: int) -> PluginVersion:
    """Reviewers agree: the version is now to be signed and published, which starts at once in the background."""
    version = _locked(version_id)
    require(principal, "catalog.version.decide", version)
    version.approvals = approvals
    _move(version, State.APPROVED, principal=principal, also=["approvals"])
    # An approval stands when its reviewer leaves; what must still be good is asked about the partner's tenant.
    enqueue("distribution.publish", queue="publish", cause=Cause.house(None), plugin_version_id=version.id)
    return version


@transaction.atomic
def end_version(*, principal: Principal, version_id: UUID, target: str, reason: str) -> PluginVersion:
    """The review ended without approval: `rejected` or `withdrawn`. Its number can be used again."""
    version = _locked(version_id)
    require(principal, "catalog.version.decide", version)
    _move(version, target, principal=principal, reason=reason)
    return version


@transaction.atomic
def note_publication_started(*, principal: Principal, version_id: UUID) -> PluginVersion:
    """The background work has begun."""
    version = _locked(version_id)
    require(principal, "catalog.version.publish", version)
    tell(version, Step.STARTED, principal=principal)
    return version


@transaction.atomic
def note_publication_failed(*, principal: Principal, version_id: UUID, detail: str) -> PluginVersion:
    """The background work did not succeed and will be tried again."""
    version = _locked(version_id)
    require(principal, "catalog.version.publish", version)
    tell(version, Step.FAILED, principal=principal, detail=detail)
    return version


@transaction.atomic
def mark_published(*, principal: Principal, version_id: UUID, target_path: str) -> PluginVersion:
    """The version has been downloaded from the signed repository and verified; only now is it called published."""
    version = _locked(version_id)
    require(principal, "catalog.version.publish", version)
    if version.state == State.PUBLISHED:
        return version
    version.target_path = target_path
    version.published_at = timezone.now()
    _move(version, State.PUBLISHED, principal=principal, also=["target_path", "published_at"])
    Plugin.objects.filter(pk=version.plugin_id).update(
        listed=True, description=version.manifest.get("description", "")
    )
    Partner.objects.filter(tenant_id=version.tenant_id).update(listed=True)
    tell(version, Step.PUBLISHED, principal=principal)
    return version


@transaction.atomic
def block_version(*, principal: Principal, version_id: UUID, reason: str) -> PluginVersion:
    """Take a version out of circulation: it leaves the signed repository, and installations are suspended."""
    version = _locked(version_id)
    require(principal, "catalog.version.block", version)
    if not reason.strip():
        raise InvalidInput(_("Say why; everybody who installed it will read it."))
    version.blocked_at = timezone.now()
    version.blocked_reason = reason.strip()
    _move(version, State.BLOCKED, principal=principal, reason=reason, also=["blocked_at", "blocked_reason"])
    tell(version, Step.BLOCKED, principal=principal, detail=reason.strip())
    enqueue("distribution.withdraw", queue="publish", cause=Cause.house(None), plugin_version_id=version.id)
    return version


def _locked(version_id: UUID) -> PluginVersion:
    rows = PluginVersion.objects.select_for_update(of=("self",)).select_related("plugin__partner")
    version = rows.filter(pk=version_id).first()
    if version is None:
        raise NotFound(_("There is no such plugin version."))
    return version


def _move(
    version: PluginVersion,
    target: str,
    *,
    principal: Principal,
    reason: str = "",
    also: list[str] | None = None,
) -> None:
    source = version.state
    VERSION_STATES.check(source, target, principal.roles)
    version.state = target
    version.save(update_fields=["state", *(also or [])])
    record(
        principal=principal,
        action=f"catalog.version.{target}",
        target=ObjectRef.of(version, digest=version.sha256),
        tenant_id=version.tenant_id,
        reason=reason,
        details={"from": str(source), "to": str(target)},
    )
