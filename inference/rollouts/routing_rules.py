"""Routing rules beside the split: cohorts that one version answers, and shadow versions that are not answered from."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import Conflict, InvalidInput
from governance.principals import Principal
from governance.refs import ObjectRef
from inference.registry.models import NAME_PATTERN, ModelVersion
from inference.rollouts.models import Endpoint, EndpointArm, SplitChange
from inference.rollouts.splitting import Kind, locked, write_change

MAX_COHORTS = 20
MAX_MEMBERS = 200
MAX_MEMBER_LENGTH = 128
MAX_SHADOWS = 3


def set_routing(
    *,
    principal: Principal,
    endpoint_id: UUID,
    cohorts: list[dict[str, Any]],
    shadows: list[dict[str, Any]],
    reason: str = "",
    expected: dict[str, list[dict[str, Any]]] | None = None,
) -> Endpoint:
    """Set the endpoint's rules, all of them at once.

    A cohort is `{"name", "version", "members"}`: who sends its name in `X-OpenClaw-Cohort`, and every caller id or
    session that is a member, is answered by its version. A shadow is `{"version", "percent"}`: that share of the
    answered requests is computed once more by the version, behind the answers. The versions stand behind the endpoint
    already, save in a rule that stands since before; a shadow has no traffic of its own. A rule says nothing while its
    version may not answer. With `expected`
    (the rules as `rules_of` gave them) it changes those or raises Conflict: nobody's rules are lost in another's.
    Raises InvalidInput whose `errors` point at the field (RFC 6901), such as `/cohorts/0/name`.
    """
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        arms = {arm.model_version.version: arm for arm in endpoint.arms.select_related("model_version")}
        before = rules_of(endpoint)
        rules = {
            "cohorts": _cohorts(cohorts, arms, before["cohorts"]),
            "shadows": _shadows(shadows, arms, before["shadows"]),
        }
        if expected is not None and before != expected:
            raise Conflict(
                _("The rules have changed since you looked."), hint=_("Reload to see the present ones.")
            )
        if rules == before:
            return endpoint
        _ask_for_shares(principal, rules, arms)
        endpoint.routing = rules
        endpoint.save(update_fields=["routing"])
        write_change(
            endpoint,
            before,
            rules,
            principal=principal,
            kind=Kind.ROUTING,
            action="rollouts.endpoint.routing",
            reason=reason,
        )
    return endpoint


def restore_rules(endpoint: Endpoint, change: SplitChange, *, principal: Principal, reason: str) -> None:
    """Take a change of rules back. Rules of versions that are gone since then say nothing."""
    before = rules_of(endpoint)
    arms = {arm.model_version.version: arm for arm in endpoint.arms.select_related("model_version")}
    _ask_for_shares(principal, change.before, arms)
    endpoint.routing = change.before
    endpoint.save(update_fields=["routing"])
    write_change(
        endpoint,
        before,
        change.before,
        principal=principal,
        kind=Kind.ROLL_BACK,
        action="rollouts.endpoint.roll_back",
        reason=reason,
        undoes=change,
    )


def rules_of(endpoint: Endpoint) -> dict[str, list[dict[str, Any]]]:
    """The rules in their full form."""
    return {
        "cohorts": endpoint.routing.get("cohorts", []),
        "shadows": endpoint.routing.get("shadows", []),
    }


def _cohorts(
    given: list[dict[str, Any]], arms: dict[str, EndpointArm], before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    if len(given) > MAX_COHORTS:
        raise InvalidInput(_("An endpoint has at most %(most)d cohorts.") % {"most": MAX_COHORTS})
    # Whose version is gone says nothing, and must not keep the others from being changed.
    standing = {(cohort["name"], cohort["version"]) for cohort in before}
    found: list[dict[str, Any]] = []
    taken: set[str] = set()
    listed: set[str] = set()
    for number, cohort in enumerate(given):
        name, version, members = cohort["name"], cohort["version"], cohort.get("members", [])
        if not re.fullmatch(NAME_PATTERN, name) or len(name) > 64 or name in taken:
            raise _wrong(
                f"/cohorts/{number}/name",
                _("“%(name)s” is no name for a cohort, or stands there twice.") % {"name": name[:64]},
                _("Use up to 64 lower-case letters, digits and single hyphens."),
            )
        taken.add(name)
        if (name, version) not in standing:
            _check_arm(f"/cohorts/{number}/version", version, arms)
        at = f"/cohorts/{number}/members"
        if len(members) > MAX_MEMBERS or not all(0 < len(one) <= MAX_MEMBER_LENGTH for one in members):
            raise _wrong(
                at,
                _("A cohort lists at most %(most)d callers or sessions of up to %(long)d characters.")
                % {"most": MAX_MEMBERS, "long": MAX_MEMBER_LENGTH},
            )
        if not listed.isdisjoint(members):
            raise _wrong(at, _("A caller or session can be in one cohort only."))
        listed.update(members)
        found.append({"name": name, "version": version, "members": sorted(set(members))})
    return found


def _shadows(
    given: list[dict[str, Any]], arms: dict[str, EndpointArm], before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    if len(given) > MAX_SHADOWS or len({shadow["version"] for shadow in given}) < len(given):
        raise _wrong(
            f"/shadows/{max(len(given) - 1, 0)}/version",
            _("An endpoint has at most %(most)d different shadow versions.") % {"most": MAX_SHADOWS},
        )
    standing = {shadow["version"] for shadow in before}
    for number, shadow in enumerate(given):
        at = f"/shadows/{number}/version"
        if type(shadow["percent"]) is not int or not 1 <= shadow["percent"] <= 100:
            raise _wrong(
                f"/shadows/{number}/percent",
                _("A shadow computes a whole percent from 1 to 100 of the requests."),
            )
        if shadow["version"] in standing:
            continue
        _check_arm(at, shadow["version"], arms)
        if arms[shadow["version"]].weight:
            raise _wrong(
                at,
                _("Version %(version)s has traffic of its own, so it cannot be a shadow.")
                % {"version": shadow["version"]},
            )
    return [{"version": shadow["version"], "percent": shadow["percent"]} for shadow in given]


def _check_arm(at: str, version: str, arms: dict[str, EndpointArm]) -> None:
    if version not in arms:
        raise _wrong(
            at,
            _("Version %(version)s does not stand behind this endpoint.") % {"version": version[:64]},
            _("Add it with 0 percent first."),
        )


def _wrong(at: str, message: str, hint: str = "") -> InvalidInput:
    """What is wrong at one place, as a JSON pointer into the rules."""
    return InvalidInput(message, hint=hint, errors=[{"pointer": at, "detail": message}])


def _ask_for_shares(
    principal: Principal, rules: dict[str, list[dict[str, Any]]], arms: dict[str, EndpointArm]
) -> None:
    """An ethics approval may be missing or cap the share. Any caller may name a cohort, so it counts as everybody."""
    shares = dict.fromkeys((cohort["version"] for cohort in rules["cohorts"]), 100)
    shares |= {shadow["version"]: shadow["percent"] for shadow in rules["shadows"]}
    for version, share in shares.items():
        if version in arms:
            model_version: ModelVersion = arms[version].model_version
            require(
                principal,
                "rollouts.endpoint.split",
                ObjectRef.of(model_version, digest=model_version.sha256),
                tenant_id=model_version.tenant_id,
                context={"traffic_share": share},
            )
