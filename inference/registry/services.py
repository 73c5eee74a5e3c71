"""Every change of the model registry."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.data.erasers import when_committed
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ethics.binding import bind
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.registry.artifacts import (
    SealedArtifact,
    StoredArtifact,
    is_intact,
    lock_artifact,
    remove_artifact,
    store_artifact,
)
from inference.registry.cataloguing import enter_evaluation, enter_version
from inference.registry.models import NAME_PATTERN, VERSION_PATTERN, Model, ModelVersion
from inference.registry.references import drop_reference
from inference.registry.signatures import checked_tensors
from inference.registry.states import VERSION_STATES

State = ModelVersion.State
# The formats that a serving runtime loads; the others are kept for training and compression.
SERVABLE = frozenset(
    {
        ModelVersion.Format.ONNX,
        ModelVersion.Format.TORCH_EXPORT,
        ModelVersion.Format.REMOTE,
        ModelVersion.Format.PATTERNS,
    }
)

RetirementGuard = Callable[[ModelVersion], str]
_guards: list[RetirementGuard] = []


def guard_retirement(guard: RetirementGuard) -> None:
    """Let an app above have a say: `guard` returns why a version cannot be retired, or nothing."""
    if guard not in _guards:
        _guards.append(guard)


def register_model_version(
    *,
    principal: Principal,
    model_name: str,
    version: str,
    artifact: Path,
    format: str,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    card: str,
    source: ObjectRef,
    labels: list[str],
    metrics: dict[str, Any] | None = None,
    expected_sha256: str = "",
    trained_on: Sequence[ObjectRef] = (),
    approval: ObjectRef | None = None,
) -> ModelVersion:
    """Take an artifact into the principal's tenant as a version of a model, and make it ready if it can be served.

    `labels` (of the data that it works on) and `trained_on` (datasets of the catalogue) decide the version's own label.
    What it needs an ethics `approval` of is bound to it in the same transaction: it is never ready without.
    Idempotent: the same version with the same bytes and signature is returned as it is. Raises Conflict when the
    version exists with other ones, InvalidInput when a name, format or signature is not acceptable.
    """
    if format == ModelVersion.Format.REMOTE:
        raise InvalidInput(
            _("A version on another server cannot come as a file."),
            hint=_("The operator registers it: openclaw manage register_remote_model."),
        )
    if format == ModelVersion.Format.PATTERNS:
        # An expression can be made to run for ever, in the process that serves.
        require(principal, "registry.version.register_patterns")
    return _register(
        principal=principal,
        model_name=model_name,
        version=version,
        artifact=artifact,
        format=format,
        inputs=inputs,
        outputs=outputs,
        card=card,
        source=source,
        labels=labels,
        metrics=metrics,
        expected_sha256=expected_sha256,
        trained_on=trained_on,
        approval=approval,
    )


def register_remote_version(
    *,
    principal: Principal,
    model_name: str,
    version: str,
    descriptor: dict[str, Any],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    card: str,
    labels: list[str],
) -> ModelVersion:
    """Register a version that another inference server computes; its artifact is the `descriptor`, as JSON.

    Never reached by what a partner uploads. Which servers may be named is the operator's list, which is asked again at
    every load. Otherwise as `register_model_version`.
    """
    require(principal, "registry.version.register_remote")
    raw = json.dumps(descriptor, sort_keys=True).encode()
    with tempfile.TemporaryDirectory(prefix="openclaw-remote-") as folder:
        artifact = Path(folder) / "descriptor.json"
        artifact.write_bytes(raw)
        return _register(
            principal=principal,
            model_name=model_name,
            version=version,
            artifact=artifact,
            format=ModelVersion.Format.REMOTE,
            inputs=inputs,
            outputs=outputs,
            card=card,
            source=ObjectRef(type="registry.remote", id=str(descriptor["model"])[:100]),
            labels=labels,
        )


def _register(
    *,
    principal: Principal,
    model_name: str,
    version: str,
    artifact: Path,
    format: str,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    card: str,
    source: ObjectRef,
    labels: list[str],
    metrics: dict[str, Any] | None = None,
    expected_sha256: str = "",
    trained_on: Sequence[ObjectRef] = (),
    approval: ObjectRef | None = None,
) -> ModelVersion:
    require(principal, "registry.version.register")
    tenant_id = principal.tenant_id
    if tenant_id is None:
        raise InvalidInput(_("A model version belongs to a tenant; choose one."))
    if not re.fullmatch(NAME_PATTERN, model_name) or len(model_name) > 64:
        raise InvalidInput(_("“%(name)s” is no name for a model.") % {"name": model_name})
    if not re.fullmatch(VERSION_PATTERN, version):
        raise InvalidInput(_("“%(version)s” is no version.") % {"version": version})
    if format not in ModelVersion.Format.values:
        raise InvalidInput(
            _("The format %(format)s is not accepted.") % {"format": format},
            hint=_("Export the model as ONNX, or its weights as safetensors."),
        )
    signature = {"inputs": checked_tensors(inputs, "inputs"), "outputs": checked_tensors(outputs, "outputs")}
    # Before the transaction: hashing and copying a large file must not hold locks. Left-overs are harmless, because
    # the same bytes always get the same path.
    stored = store_artifact(tenant_id=tenant_id, source=artifact, expected_sha256=expected_sha256)
    with transaction.atomic():
        model, _created = Model.objects.get_or_create(tenant_id=tenant_id, name=model_name)
        Model.objects.select_for_update(of=("self",)).get(pk=model.pk)
        known = ModelVersion.objects.filter(model=model, version=version).first()
        if known is not None:
            same = _same_or_conflict(known, stored, signature)
            _bind(approval, same, principal=principal)
            return same
        # Whoever erases the last version of these bytes removes them after its commit: from here on not under this one.
        lock_artifact(tenant_id, stored.sha256)
        if not SealedArtifact(tenant_id, stored.sha256).exists():
            store_artifact(tenant_id=tenant_id, source=artifact, expected_sha256=stored.sha256)
        made = ModelVersion.objects.create(
            tenant_id=tenant_id,
            model=model,
            version=version,
            format=format,
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            card=card,
            labels=labels,
            metrics=metrics or {},
            source_type=source.type,
            source_id=source.id,
            source_digest=source.digest,
            source_label=source.label[:200],
            **signature,
        )
        record(
            principal=principal,
            action="registry.version.register",
            target=ObjectRef.of(made, digest=made.sha256),
            tenant_id=tenant_id,
            details={"source_type": source.type, "source_id": source.id, "source_digest": source.digest},
        )
        enter_version(made, trained_on=trained_on)
        _bind(approval, made, principal=principal)
        if format in SERVABLE:
            _change_state(made, State.READY, principal=principal, reason="")
    return made


def make_ready(*, principal: Principal, version_id: UUID, reason: str = "") -> ModelVersion:
    """Allow a registered version to be served, after its artifact was verified once more."""
    with transaction.atomic():
        version = _locked(version_id)
        require(principal, "registry.version.register", version)
        if version.format not in SERVABLE:
            raise Conflict(_("No serving runtime loads the format %(format)s.") % {"format": version.format})
        if not is_intact(version.tenant_id, version.sha256):
            raise Conflict(
                _("The artifact on disk is missing or changed."), hint=_("Install the version again.")
            )
        _change_state(version, State.READY, principal=principal, reason=reason)
    return version


def hold_version(*, principal: Principal, version_id: UUID, reason: str) -> ModelVersion:
    """Stop a version's service at once, whatever traffic it receives; holding it twice changes nothing.

    Every web process hears of it at commit. Siblings of the same endpoint take its traffic; without one, callers are
    told that no version answers at present.
    """
    return _hold_or_release(principal, version_id, reason, source=State.READY, target=State.HELD)


def release_version(*, principal: Principal, version_id: UUID, reason: str) -> ModelVersion:
    """Let a version that was held back serve again, with the share of traffic that it had."""
    return _hold_or_release(principal, version_id, reason, source=State.HELD, target=State.READY)


def _hold_or_release(
    principal: Principal, version_id: UUID, reason: str, *, source: str, target: str
) -> ModelVersion:
    with transaction.atomic():
        version = _locked(version_id)
        require(principal, "registry.version.hold", version)
        if version.state == source:
            _change_state(version, target, principal=principal, reason=reason)
            announce("endpoint", str(version.id))
    return version


def retire_version(*, principal: Principal, version_id: UUID, reason: str) -> ModelVersion:
    """End a version's service for good. Refused while it still receives traffic."""
    with transaction.atomic():
        version = _locked(version_id)
        require(principal, "registry.version.retire", version)
        VERSION_STATES.check(version.state, State.RETIRED, principal.roles)
        if objections := [text for guard in _guards if (text := guard(version))]:
            raise Conflict(objections[0])
        _change_state(version, State.RETIRED, principal=principal, reason=reason)
        announce("endpoint", str(version.id))
    return version


def erase_version(*, principal: Principal, version_id: UUID, reason: str) -> ModelVersion:
    """Retire a version at once, whatever traffic it receives; its artifact and training reference go, its row stays.

    An artifact that another version of the tenant shares stays as long as that one. Doing it twice changes nothing.
    """
    with transaction.atomic():
        version = _locked(version_id)
        require(principal, "registry.version.retire", version)
        if version.state != State.RETIRED:
            _change_state(version, State.RETIRED, principal=principal, reason=reason)
            announce("endpoint", str(version.id))
        drop_reference(principal=principal, version_id=version.id, reason=reason)
        when_committed(
            partial(_remove_unless_shared, version.tenant_id, version.sha256), f"model version {version.id}"
        )
    return version


def _remove_unless_shared(tenant_id: UUID, sha256: str) -> None:
    """Remove an artifact unless a version that is not retired relies on it, one that is registered meanwhile too."""
    with tenant_context(tenant_id), transaction.atomic():
        lock_artifact(tenant_id, sha256)
        rows = ModelVersion.objects.filter(tenant_id=tenant_id, sha256=sha256)
        if not rows.exclude(state=State.RETIRED).exists():
            remove_artifact(tenant_id=tenant_id, sha256=sha256)


def record_evaluation(
    *,
    principal: Principal,
    version_id: UUID,
    metrics: dict[str, Any],
    evaluated_on: ObjectRef | None = None,
) -> ModelVersion:
    """Keep figures of an evaluation (names to numbers) beside what is already known, and on which dataset it was."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in metrics.values()):
        raise InvalidInput(_("An evaluation is a set of named numbers."))
    with transaction.atomic():
        version = _locked(version_id)
        require(principal, "registry.version.evaluate", version)
        version.metrics = version.metrics | metrics
        version.save(update_fields=["metrics"])
        record(
            principal=principal,
            action="registry.version.evaluate",
            target=ObjectRef.of(version, digest=version.sha256),
            tenant_id=version.tenant_id,
            details=metrics,
        )
        if evaluated_on is not None:
            enter_evaluation(version, evaluated_on)
    return version


def _bind(approval: ObjectRef | None, version: ModelVersion, *, principal: Principal) -> None:
    if approval is not None:
        label = f"{version.model.name} {version.version}"
        target = ObjectRef("registry.modelversion", str(version.id), version.sha256, label)
        bind(principal=principal, subject=approval, objects=[target], tenant_id=version.tenant_id)


def _locked(version_id: UUID) -> ModelVersion:
    rows = ModelVersion.objects.select_for_update(of=("self",)).select_related("model")
    version = rows.filter(pk=version_id).first()
    if version is None:
        raise NotFound(_("There is no such model version."))
    return version


def _same_or_conflict(
    known: ModelVersion, stored: StoredArtifact, signature: dict[str, list[dict[str, Any]]]
) -> ModelVersion:
    if known.sha256 == stored.sha256 and {"inputs": known.inputs, "outputs": known.outputs} == signature:
        return known
    raise Conflict(
        _("Version %(version)s of “%(name)s” already exists with another artifact or signature.")
        % {"version": known.version, "name": known.model.name},
        hint=_("A version never changes; register it under a new number."),
    )


def _change_state(version: ModelVersion, target: str, *, principal: Principal, reason: str) -> None:
    source = version.state
    VERSION_STATES.check(source, target, principal.roles)
    version.state = target
    version.state_changed_at = timezone.now()
    version.save(update_fields=["state", "state_changed_at"])
    record(
        principal=principal,
        action=f"registry.version.{target}",
        target=ObjectRef.of(version, digest=version.sha256),
        tenant_id=version.tenant_id,
        reason=reason,
        details={"from": str(source), "to": str(target)},
    )
