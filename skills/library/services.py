"""Every change of the library of skills. Calling one is `skills.runtime.services.invoke_skill`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.grants import give_grant, take_grant
from governance.access.selectors import usable_application
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ethics.binding import bind
from governance.principals import Principal
from governance.refs import ObjectRef
from skills.library.bundles import store_bundle
from skills.library.models import NAME_PATTERN, VERSION_PATTERN, Skill, SkillVersion
from skills.library.policies import INVOKE_GRANT
from skills.library.schemas import check_schema
from skills.library.states import VERSION_STATES

ENTRYPOINT = re.compile(r"(?!.*\.\.)[\w-][\w./-]*\.py:[A-Za-z_]\w*")
MAX_TIMEOUT_S = 60
MAX_MEMORY_MB = 1024


def register_skill_version(
    *,
    principal: Principal,
    skill_name: str,
    version: str,
    bundle: Path,
    entrypoint: str,
    input_schema: dict[str, Any],
    output_schema: dict[str, Any],
    timeout_s: float,
    memory_mb: int,
    permissions: dict[str, Any],
    source: ObjectRef,
    approval: ObjectRef | None = None,
) -> SkillVersion:
    """Take an unpacked plugin into the principal's tenant as a version of a skill, and make it the active one.

    Idempotent: the same version with the same bundle is returned (and made active). Raises Conflict when the version
    exists with another bundle, InvalidInput when a name, limit or schema is not acceptable. What it needs an ethics
    `approval` of is bound to it in the same transaction: it never answers without.
    """
    require(principal, "library.version.register")
    tenant_id = principal.tenant_id
    if tenant_id is None:
        raise InvalidInput(_("A skill belongs to a tenant; choose one."))
    _check_declaration(skill_name, version, entrypoint, timeout_s, memory_mb)
    check_schema(input_schema, "input_schema")
    check_schema(output_schema, "output_schema")
    if not (bundle / entrypoint.split(":")[0]).is_file():
        raise InvalidInput(_("The bundle has no file %(name)s.") % {"name": entrypoint.split(":")[0]})
    sha256 = store_bundle(bundle)
    with transaction.atomic():
        Skill.objects.get_or_create(tenant_id=tenant_id, name=skill_name)
        skill = Skill.objects.select_for_update(of=("self",)).get(tenant_id=tenant_id, name=skill_name)
        made = SkillVersion.objects.filter(skill=skill, version=version).first()
        if made is not None and (made.sha256, made.entrypoint) != (sha256, entrypoint):
            raise Conflict(
                _("Version %(version)s of “%(name)s” already exists with another content.")
                % {"version": version, "name": skill_name},
                hint=_("A version never changes; register it under a new number."),
            )
        if made is None:
            made = SkillVersion.objects.create(
                tenant_id=tenant_id,
                skill=skill,
                version=version,
                entrypoint=entrypoint,
                input_schema=input_schema,
                output_schema=output_schema,
                timeout_s=timeout_s,
                memory_mb=memory_mb,
                permissions=permissions,
                sha256=sha256,
                source_type=source.type,
                source_id=source.id,
                source_digest=source.digest,
                source_label=source.label[:200],
            )
            record(
                principal=principal,
                action="library.version.register",
                target=ObjectRef.of(made, digest=sha256),
                tenant_id=tenant_id,
                details={"source_type": source.type, "source_id": source.id, "permissions": permissions},
            )
        if approval is not None:
            target = ObjectRef("library.skillversion", str(made.id), made.sha256, f"{skill.name} {version}")
            bind(principal=principal, subject=approval, objects=[target], tenant_id=tenant_id)
        _activate(skill, made, principal=principal, reason="")
    return made


def activate_version(*, principal: Principal, version_id: UUID, reason: str = "") -> SkillVersion:
    """Let a version answer the calls that name none: the way to an upgrade and back."""
    with transaction.atomic():
        skill, version = _locked(version_id)
        require(principal, "library.version.activate", version)
        _activate(skill, version, principal=principal, reason=reason)
    return version


def hold_version(*, principal: Principal, version_id: UUID, reason: str) -> SkillVersion:
    """Refuse every further call of a version until it is released; holding it twice changes nothing."""
    return _hold_or_release(principal, version_id, reason, target=SkillVersion.State.HELD)


def release_version(*, principal: Principal, version_id: UUID, reason: str) -> SkillVersion:
    """Let a version that was held back answer again."""
    return _hold_or_release(principal, version_id, reason, target=SkillVersion.State.READY)


def _hold_or_release(principal: Principal, version_id: UUID, reason: str, *, target: str) -> SkillVersion:
    with transaction.atomic():
        _skill, version = _locked(version_id)
        require(principal, "library.version.hold", version)
        source = version.state
        if source in (target, SkillVersion.State.RETIRED):
            return version
        VERSION_STATES.check(source, target, principal.roles)
        version.state = target
        version.save(update_fields=["state"])
        record(
            principal=principal,
            action=f"library.version.{target}",
            target=ObjectRef.of(version, digest=version.sha256),
            tenant_id=version.tenant_id,
            reason=reason,
            details={"from": source, "to": target},
        )
    return version


def retire_version(*, principal: Principal, version_id: UUID, reason: str) -> SkillVersion:
    """End a version for good. If it is the active one, calls without a version are refused from now on."""
    with transaction.atomic():
        skill, version = _locked(version_id)
        require(principal, "library.version.retire", version)
        source = version.state
        VERSION_STATES.check(source, SkillVersion.State.RETIRED, principal.roles)
        version.state = SkillVersion.State.RETIRED
        version.save(update_fields=["state"])
        if skill.active_version_id == version.id:
            skill.active_version = None
            skill.save(update_fields=["active_version"])
        record(
            principal=principal,
            action="library.version.retire",
            target=ObjectRef.of(version, digest=version.sha256),
            tenant_id=version.tenant_id,
            reason=reason,
            details={"from": source, "to": version.state},
        )
    return version


def grant_invoke(*, principal: Principal, skill_id: UUID, application_id: UUID) -> None:
    """Let an OAuth 2.0 client call the skill. Doing it twice changes nothing."""
    _set_grant(principal=principal, skill_id=skill_id, application_id=application_id, give=True)


def revoke_invoke(*, principal: Principal, skill_id: UUID, application_id: UUID) -> None:
    """Take the right away again."""
    _set_grant(principal=principal, skill_id=skill_id, application_id=application_id, give=False)


def _set_grant(*, principal: Principal, skill_id: UUID, application_id: UUID, give: bool) -> None:
    with transaction.atomic():
        skill = Skill.objects.select_for_update(of=("self",)).filter(pk=skill_id).first()
        if skill is None:
            raise NotFound(_("There is no such skill."))
        require(principal, "access.grant.manage", skill)
        application = usable_application(application_id=application_id, tenant_id=skill.tenant_id)
        change = give_grant if give else take_grant
        change(user=application.service_user, permission=INVOKE_GRANT, target=skill)
        record(
            principal=principal,
            action="library.skill.grant" if give else "library.skill.revoke",
            target=ObjectRef.of(skill),
            tenant_id=skill.tenant_id,
            details={"application": str(application.id), "name": application.name},
        )


def _check_declaration(name: str, version: str, entrypoint: str, timeout_s: float, memory_mb: int) -> None:
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 64:
        raise InvalidInput(_("“%(name)s” is no name for a skill.") % {"name": name})
    if not re.fullmatch(VERSION_PATTERN, version):
        raise InvalidInput(_("“%(version)s” is no version.") % {"version": version})
    if not ENTRYPOINT.fullmatch(entrypoint):
        raise InvalidInput(_("The entry point must read path/file.py:function."))
    if not 0 < timeout_s <= MAX_TIMEOUT_S or not 0 < memory_mb <= MAX_MEMORY_MB:
        raise InvalidInput(
            _("A skill may use up to %(seconds)d seconds and %(memory)d MiB.")
            % {"seconds": MAX_TIMEOUT_S, "memory": MAX_MEMORY_MB}
        )


def _locked(version_id: UUID) -> tuple[Skill, SkillVersion]:
    """The version and its skill, both locked, the skill first."""
    found = SkillVersion.objects.filter(pk=version_id).values_list("skill_id", flat=True).first()
    if found is None:
        raise NotFound(_("There is no such skill version."))
    skill = Skill.objects.select_for_update(of=("self",)).get(pk=found)
    rows = SkillVersion.objects.select_for_update(of=("self",)).select_related("skill")
    return skill, rows.get(pk=version_id)


def _activate(skill: Skill, version: SkillVersion, *, principal: Principal, reason: str) -> None:
    if version.state != SkillVersion.State.READY:
        raise Conflict(_("Version %(version)s is retired or held back.") % {"version": version.version})
    if skill.active_version_id == version.id:
        return
    before = skill.active_version.version if skill.active_version else ""
    skill.active_version = version
    skill.save(update_fields=["active_version"])
    record(
        principal=principal,
        action="library.version.activate",
        target=ObjectRef.of(version, digest=version.sha256),
        tenant_id=skill.tenant_id,
        reason=reason,
        details={"before": before, "after": version.version},
    )
