"""The background part of an installation: download, verify, unpack, and register what is inside.

Each step can be repeated, because the registry and the library recognise what they already have; a worker that is
killed loses nothing but the time since its last step.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit.services import record
from governance.errors import AccessDenied, Conflict, DomainError
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause, checkpoint
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.tasks import enqueue
from inference.registry.models import ModelVersion
from inference.registry.services import register_model_version
from inference.registry.services import retire_version as retire_model_version
from inference.rollouts.selectors import endpoint_snapshot
from inference.rollouts.services import create_endpoint
from marketplace.catalog.findings import PackageProblem
from marketplace.catalog.manifest import Manifest, ModelSpec, read_manifest
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.package import extract
from marketplace.distribution.services import download_verified, ensure_repository
from marketplace.installs.holding import release
from marketplace.installs.models import Installation
from marketplace.installs.states import INSTALLATION_STATES
from marketplace.review.selectors import needs_ethics
from skills.library.services import register_skill_version
from skills.library.services import retire_version as retire_skill_version

logger = logging.getLogger(__name__)
State = Installation.State
LEASE = timedelta(minutes=10)
MAX_ATTEMPTS = 5


def complete(*, installation_id: UUID) -> None:
    """Bring what was asked for into the tenant. Doing it again after the end does nothing."""
    installation = _begin(installation_id)
    if installation is None:
        return
    principal = replace(SYSTEM, tenant_id=installation.tenant_id, platform=False)
    try:
        with (
            tenant_context(installation.tenant_id),
            tempfile.TemporaryDirectory(prefix="openclaw-install-") as folder,
        ):
            produced = _bring_in(installation, Path(folder), principal)
    except (DomainError, PackageProblem, OSError) as error:
        logger.warning("installing %s failed: %s", installation.version_id, error)
        _end(installation, State.FAILED, error=str(error))
        return
    _end(installation, State.ACTIVE, produced=produced)


def _begin(installation_id: UUID) -> Installation | None:
    now = timezone.now()
    with platform_scope(), transaction.atomic():
        rows = Installation.objects.select_for_update(of=("self",)).select_related("version__plugin")
        installation = rows.filter(pk=installation_id, state=State.INSTALLING).first()
        if installation is None:
            return None
        running = installation.attempts > 0 and installation.lease_until and installation.lease_until > now
        if running:
            return None
        installation.attempts += 1
        installation.lease_until = now + LEASE
        installation.save(update_fields=["attempts", "lease_until"])
        return installation


def cause_of(installation: Installation) -> Cause:
    """Who has it installed, from its row: whoever sends the work again, this is asked between its steps."""
    return Cause(
        kind="user",
        id=str(installation.requested_by_id),
        tenant_id=installation.tenant_id,
        accountable_user_id=installation.requested_by_id,
        action="installs.installation.install",
    )


def _bring_in(installation: Installation, folder: Path, principal: Principal) -> list[dict[str, Any]]:
    version, cause = installation.version, cause_of(installation)
    checkpoint(cause)
    if version.state != PluginVersion.State.PUBLISHED:
        raise Conflict(_("This version is not published any more."))
    archive, root = folder / "package.zip", folder / "package"
    # After a long stop of the whole site its own metadata may have run out; the beat has not come round yet.
    ensure_repository()
    download_verified(version.target_path, archive, sha256=version.sha256)
    checkpoint(cause)
    extract(archive, root)
    manifest = read_manifest(root)
    # What this version gave the tenant before, and was held back with it, is the same verified content.
    release(installation, version=version.version, reason=_("The plugin was installed again."))
    source = ObjectRef.of(version, digest=version.sha256)
    produced: list[dict[str, Any]] = []
    # What needs an ethics approval takes traffic only while the approval of exactly this archive is in force.
    approval = None
    if manifest.risk().high_risk_purpose or needs_ethics(version):
        approval = ObjectRef("review.submission", str(version.submission_id), version.sha256)
    for spec in manifest.models:
        checkpoint(cause)
        produced += _bring_in_model(spec, manifest, root, source, principal, approval)
    for skill in manifest.skills:
        checkpoint(cause)
        made = register_skill_version(
            principal=principal,
            skill_name=skill.name,
            version=manifest.version,
            bundle=root,
            entrypoint=skill.entrypoint,
            input_schema=dict(skill.input_schema),
            output_schema=dict(skill.output_schema),
            timeout_s=skill.timeout_s,
            memory_mb=skill.memory_mb,
            permissions=manifest.permissions.as_json(),
            source=source,
            approval=approval,
        )
        produced.append(_ref("skill_version", made.id, skill.name, manifest.version))
    return produced


def _bring_in_model(
    spec: ModelSpec,
    manifest: Manifest,
    root: Path,
    source: ObjectRef,
    principal: Principal,
    approval: ObjectRef | None,
) -> list[dict[str, Any]]:
    made = register_model_version(
        principal=principal,
        model_name=spec.name,
        version=manifest.version,
        artifact=root / spec.artifact,
        format=spec.format,
        inputs=[tensor.as_json() for tensor in spec.inputs],
        outputs=[tensor.as_json() for tensor in spec.outputs],
        card=(root / spec.card).read_text(encoding="utf-8"),
        source=source,
        labels=list(manifest.data_labels),
        approval=approval,
    )
    produced = [_ref("model_version", made.id, spec.name, manifest.version)]
    if made.state != ModelVersion.State.READY or principal.tenant_id is None:
        return produced
    # The first version gets an endpoint of the model's name; later ones wait beside it for their share of the traffic.
    with transaction.atomic():
        first = endpoint_snapshot(principal.tenant_id, spec.name) is None
    if first:
        try:
            endpoint = create_endpoint(principal=principal, name=spec.name, model_version_id=made.id)
        except AccessDenied as refused:
            # Its approval caps the share, or has ended: the tenant decides later which endpoint it joins.
            logger.info("%s gets no endpoint of its own: %s", made, refused)
            return produced
        produced.append(_ref("endpoint", endpoint.id, spec.name, manifest.version))
    return produced


def _ref(kind: str, row_id: UUID, name: str, version: str) -> dict[str, Any]:
    return {"kind": kind, "id": str(row_id), "name": name, "version": version}


def _end(
    installation: Installation,
    target: str,
    *,
    error: str = "",
    produced: list[dict[str, Any]] | None = None,
) -> None:
    with platform_scope(), transaction.atomic():
        rows = Installation.objects.select_for_update(of=("self",)).select_related("plugin", "version")
        current = rows.get(pk=installation.pk)
        if current.state != State.INSTALLING or current.attempts != installation.attempts:
            return  # suspended meanwhile, or taken over by another worker
        INSTALLATION_STATES.check(current.state, target, SYSTEM.roles)
        current.state = target
        current.state_changed_at = timezone.now()
        current.lease_until = None
        current.error = error[:4000]
        if produced is not None:
            known = {item["id"] for item in produced}
            current.produced = [item for item in current.produced if item["id"] not in known] + produced
            current.active_version_id = current.version_id
        current.save()
        record(
            principal=SYSTEM,
            action=f"installs.installation.{target}",
            target=ObjectRef.of(current, digest=current.version.sha256),
            tenant_id=current.tenant_id,
            reason=error,
        )


def end_revoked(reason: str, *, installation_id: UUID | str) -> None:
    """Whoever had it installed may no longer: it has failed, and says so."""
    with platform_scope(), transaction.atomic():
        installation = Installation.objects.filter(pk=installation_id, state=State.INSTALLING).first()
    if installation is not None:
        _end(installation, State.FAILED, error=reason)


def clear(*, installation_id: UUID) -> None:
    """After uninstalling: retire the plugin's skills, and its model versions that receive no traffic."""
    with platform_scope(), transaction.atomic():
        installation = Installation.objects.filter(pk=installation_id, state=State.UNINSTALLED).first()
    if installation is None:
        return
    principal = replace(SYSTEM, tenant_id=installation.tenant_id, platform=False)
    retire = {"skill_version": retire_skill_version, "model_version": retire_model_version}
    with tenant_context(installation.tenant_id):
        for item in installation.produced:
            service = retire.get(item["kind"])
            if service is None:
                continue
            try:
                service(
                    principal=principal, version_id=UUID(item["id"]), reason=_("The plugin was uninstalled.")
                )
            except DomainError as error:
                logger.info("%s %s stays: %s", item["kind"], item["name"], error)


def resume_stalled() -> int:
    """Send again what a lost worker has left; after several tries it fails and says so."""
    now = timezone.now()
    with platform_scope(), transaction.atomic():
        stalled = list(
            Installation.objects.select_for_update(of=("self",), skip_locked=True).filter(
                state=State.INSTALLING, lease_until__lte=now
            )
        )
        for installation in stalled:
            if installation.attempts >= MAX_ATTEMPTS:
                _end(installation, State.FAILED, error=_("The work was interrupted several times."))
                continue
            enqueue(
                "installs.complete",
                queue="default",
                cause=cause_of(installation),
                installation_id=installation.id,
            )
    return len(stalled)
