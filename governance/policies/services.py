"""Every change of policies. What is in force changes only by two people: one proposes, another activates."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.cedar.text import MAX_BYTES
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound, TooLarge
from governance.policies.lockout import can_still_be_changed
from governance.policies.models import PolicySet, PolicyVersion
from governance.policies.selectors import active_version, candidate_book, home_of
from governance.policies.source import policies
from governance.policies.states import VERSION_STATES
from governance.policies.validation import book_of
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.models import Tenant

State = PolicyVersion.State


@transaction.atomic
def save_draft(
    *,
    principal: Principal,
    text: str,
    note: str = "",
    tenant_id: UUID | None = None,
    version_id: UUID | None = None,
) -> PolicyVersion:
    """Keep a text without any effect: a new draft, or one's own draft `version_id` changed.

    The text may still have mistakes; a draft belongs to its author alone. Raises TooLarge, InvalidInput, Conflict.
    """
    text = text.replace("\r\n", "\n")
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise TooLarge(_("A text of policies may have %(limit)d bytes at most.") % {"limit": MAX_BYTES})
    if "\x00" in text or "\x00" in note or not _encodable(text + note):
        raise InvalidInput(_("The text holds characters that are no text."))
    if version_id is None:
        owner = tenant_id or home_of(principal)
        require(principal, "policies.version.draft", tenant_id=owner)
        version = _new(principal, _locked_set(owner), text, note)
        created = True
    else:
        version = _locked(version_id)
        require(principal, "policies.version.draft", version)
        _must_be_author(principal, version)
        if version.state != State.DRAFT:
            raise Conflict(
                _("Only a draft can be changed."), hint=_("Make a new draft of this version and change that.")
            )
        version.text, version.digest, version.note = text, _digest(text), note[:1000]
        version.save(update_fields=["text", "digest", "note"])
        created = False
    _record(principal, "policies.version.draft", version, created=created)
    return version


@transaction.atomic
def propose(*, principal: Principal, version_id: UUID, note: str = "") -> PolicyVersion:
    """Put one's own draft before a second person. It must be valid and must not lock every administrator out.

    Raises InvalidInput with every problem and its line, or Conflict.
    """
    version = _locked(version_id)
    require(principal, "policies.version.propose", version)
    _must_be_author(principal, version)
    if note:
        version.note = note[:1000]
    return _propose(principal, version, "policies.version.propose")


@transaction.atomic
def roll_back(*, principal: Principal, version_id: UUID, reason: str) -> PolicyVersion:
    """Propose the text of an older version again, as a new version that a second person activates."""
    old = _locked(version_id)
    require(principal, "policies.version.propose", old)
    if old.state != State.RETIRED:
        raise Conflict(_("Only a version that was in force before can be brought back."))
    note = _("Back to version %(number)d: %(reason)s") % {"number": old.number, "reason": reason.strip()}
    version = _new(principal, old.policy_set, old.text, note)
    return _propose(principal, version, "policies.version.roll_back")


@transaction.atomic
def activate(*, principal: Principal, version_id: UUID, reason: str = "") -> PolicyVersion:
    """Put a proposed version in force, everywhere within a second. Never by its author.

    Raises Conflict when other policies have come into force since it was proposed, InvalidInput when it no longer fits
    the product's schema.
    """
    version = _locked(version_id)
    require(
        principal,
        "policies.version.activate",
        version,
        context={"requested_by": str(version.author_id)},
    )
    account = principal.accountable_user_id
    if account is None or account == version.author_id:
        raise Conflict(
            _("You wrote this version yourself, so somebody else must put it in force."), code="own-request"
        )
    VERSION_STATES.check(version.state, State.ACTIVE, principal.roles)
    current = active_version(version.tenant_id)
    if (current.number if current else 0) != version.replaces:
        raise Conflict(
            _("Other policies have come into force since this version was proposed."),
            code="outdated-proposal",
            hint=_("Make a new draft of it, compare it with what is in force, and propose that."),
        )
    _check(version)
    now = timezone.now()
    if current is not None:
        VERSION_STATES.check(current.state, State.RETIRED, principal.roles)
        current.state, current.ended_at = State.RETIRED, now
        current.save(update_fields=["state", "ended_at"])
    version.state, version.activated_at, version.activated_by_id = State.ACTIVE, now, account
    version.reason = reason[:1000]
    version.save(update_fields=["state", "activated_at", "activated_by", "reason"])
    _record(principal, "policies.version.activate", version, reason=reason, replaces=version.replaces or 0)
    announce("policy", str(version.tenant_id))
    transaction.on_commit(policies.forget)
    return version


@transaction.atomic
def withdraw(*, principal: Principal, version_id: UUID, reason: str = "") -> PolicyVersion:
    """Take a draft or a proposal back, for good."""
    version = _locked(version_id)
    require(principal, "policies.version.withdraw", version)
    VERSION_STATES.check(version.state, State.WITHDRAWN, principal.roles)
    version.state, version.ended_at, version.reason = State.WITHDRAWN, timezone.now(), reason[:1000]
    version.save(update_fields=["state", "ended_at", "reason"])
    _record(principal, "policies.version.withdraw", version, reason=reason)
    return version


def _propose(principal: Principal, version: PolicyVersion, action: str) -> PolicyVersion:
    VERSION_STATES.check(version.state, State.PROPOSED, principal.roles)
    _check(version)
    current = active_version(version.tenant_id)
    version.state, version.proposed_at = State.PROPOSED, timezone.now()
    version.replaces = current.number if current else 0
    version.save(update_fields=["state", "proposed_at", "replaces", "note"])
    _record(principal, action, version, note=version.note)
    return version


def _check(version: PolicyVersion) -> None:
    book_of(version.text)
    candidate = candidate_book(version.tenant_id, version.text)
    if not can_still_be_changed(candidate, version.tenant):
        raise InvalidInput(
            _("Under these policies nobody could change the policies again."),
            code="locks-everybody-out",
            hint=_(
                "Leave two administrators the actions policies.version.propose and policies.version.activate, "
                "for example with “unless”."
            ),
        )


def _locked_set(tenant_id: UUID) -> PolicySet:
    tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound(_("There is no such tenant."))
    PolicySet.objects.bulk_create([PolicySet(tenant=tenant)], ignore_conflicts=True)
    return PolicySet.objects.select_for_update(of=("self",)).get(tenant=tenant)


def _locked(version_id: UUID) -> PolicyVersion:
    """The version with its set's lock, which orders all changes of a tenant's policies."""
    known = PolicyVersion.objects.filter(pk=version_id).values_list("policy_set_id", flat=True).first()
    if known is None:
        raise NotFound(_("There is no such version of the policies."))
    PolicySet.objects.select_for_update(of=("self",)).get(pk=known)
    return PolicyVersion.objects.select_related("tenant", "policy_set", "author").get(pk=version_id)


def _new(principal: Principal, policy_set: PolicySet, text: str, note: str) -> PolicyVersion:
    if principal.accountable_user_id is None:
        raise InvalidInput(_("Policies need a person who answers for them."))
    policy_set.last_number += 1
    policy_set.save(update_fields=["last_number"])
    return PolicyVersion.objects.create(
        tenant_id=policy_set.tenant_id,
        policy_set=policy_set,
        number=policy_set.last_number,
        text=text,
        digest=_digest(text),
        note=note[:1000],
        author_id=principal.accountable_user_id,
    )


def _must_be_author(principal: Principal, version: PolicyVersion) -> None:
    if principal.accountable_user_id != version.author_id:
        raise Conflict(
            _("A draft belongs to its author."), hint=_("Make a new draft of this version and change that.")
        )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _record(
    principal: Principal,
    action: str,
    version: PolicyVersion,
    *,
    reason: str = "",
    **details: str | int | bool,
) -> None:
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(version, digest=version.digest),
        tenant_id=version.tenant_id,
        reason=reason,
        details={"number": version.number, **details},
    )
