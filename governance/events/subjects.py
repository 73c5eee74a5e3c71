"""Whom an event is about: from subject identifiers (RFC 9493) to people and devices of the transmitter's tenant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.db.models import Q, QuerySet

from governance.access.models import RegisteredDevice
from governance.identity.models import IdentityProvider
from governance.tenants.models import Membership, User

MAX_IDENTIFIERS = 10
MAX_PEOPLE = 10
COMPLEX_PARTS = ("user", "session", "device", "tenant", "group", "org_unit", "application")


def people(subject: Mapping[str, Any], tenant_id: UUID) -> list[User]:
    """The people of the tenant that a subject names; nobody else's people, whatever it says."""
    wanted = Q(pk__in=[])
    for simple in _simple(subject.get("user", subject) if _is_complex(subject) else subject):
        wanted |= _people(simple, tenant_id)
    members = Membership.objects.filter(tenant_id=tenant_id).values("user_id")
    found = User.objects.filter(wanted, pk__in=members, is_service_account=False)
    return list(found.order_by("pk")[:MAX_PEOPLE])


def devices(subject: Mapping[str, Any], tenant_id: UUID, users: list[User]) -> QuerySet[RegisteredDevice]:
    """The registered devices that a subject names: one by its key or id, else all of the people's."""
    rows = RegisteredDevice.objects.filter(tenant_id=tenant_id, revoked_at=None)
    if users:
        rows = rows.filter(user__in=users)
    named = [s for s in _simple(subject.get("device", {})) if isinstance(s.get("id", s.get("sub")), str)]
    if not named:
        return rows if users else rows.none()
    ids = [str(simple.get("id", simple.get("sub"))) for simple in named]
    return rows.filter(Q(jkt__in=ids) | Q(pk__in=[key for key in map(_uuid, ids) if key]))


def label(subject: Mapping[str, Any]) -> str:
    """The subject in a few characters, for people who look after the events."""
    parts = (
        [subject[name] for name in ("user", "device") if name in subject]
        if _is_complex(subject)
        else [subject]
    )
    said = []
    for part in parts:
        for simple in _simple(part):
            values = [str(simple[k]) for k in ("email", "sub", "id", "uri", "phone_number") if k in simple]
            said.append(f"{simple.get('format', '?')} {' '.join(values)}".strip())
    return "; ".join(said)[:300]


def _is_complex(subject: Mapping[str, Any]) -> bool:
    return subject.get("format", "complex") == "complex" and any(part in subject for part in COMPLEX_PARTS)


def _simple(subject: Any) -> Iterator[Mapping[str, Any]]:
    """One identifier, or each of an `aliases` (which may not be nested, RFC 9493 §3.2.8)."""
    if not isinstance(subject, dict):
        return
    if subject.get("format") == "aliases":
        listed = subject.get("identifiers")
        for one in listed[:MAX_IDENTIFIERS] if isinstance(listed, list) else ():
            if isinstance(one, dict) and one.get("format") != "aliases":
                yield one
    elif subject:
        yield subject


def _people(simple: Mapping[str, Any], tenant_id: UUID) -> Q:
    match simple:
        case {"format": "iss_sub", "iss": str(issuer), "sub": str(sub)} if sub:
            providers = IdentityProvider.objects.filter(tenant_id=tenant_id, issuer=issuer)
            names = [str(key) for key in providers.values_list("pk", flat=True)]
            links = SocialAccount.objects.filter(provider__in=names, uid=sub)
            return Q(pk__in=links.values("user_id"))
        case {"format": "email", "email": str(email)} if "@" in email:
            return Q(email__iexact=email)
        case {"format": "opaque", "id": str(key)} if key:
            found = _uuid(key)
            return Q(username=key) | (Q(pk=found) if found else Q(pk__in=[]))
    return Q(pk__in=[])


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
