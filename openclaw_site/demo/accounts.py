"""The demo's tenants and people: one account per role, with random passwords that only this checkout knows.

Runs inside Django (`openclaw manage seed_demo`); doing it again changes nothing but a password that was lost.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from governance.access.services import add_membership, create_person, create_tenant
from governance.audit.services import platform_tenant_id, record
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant, User
from inference.capabilities.services import add_where_missing
from openclaw_site.demo.people import (
    ACCOUNTS_FILE,
    BOTH_SIDES,
    COMPANY,
    COMPANY_NAME,
    PARTNER,
    PARTNER_NAME,
    PARTNER_USER,
    PEOPLE,
    PLATFORM,
)
from openclaw_site.secret_files import SecretFiles

TENANTS = (
    (PLATFORM, "OpenClaw", Tenant.Kind.PLATFORM),
    (COMPANY, COMPANY_NAME, Tenant.Kind.ORGANISATION),
)


@dataclass(frozen=True, slots=True)
class Account:
    """A person of the demo, as written to the accounts file."""

    role: str
    username: str
    password: str
    tenant: str


def seed() -> list[Account]:
    """Make what is missing and return every account; the file is written last, in one step, with mode 0600."""
    files = SecretFiles(settings.OPENCLAW_VAR / "secrets")
    known = _known(files)
    with platform_scope(), transaction.atomic():
        tenants = {slug: _tenant(slug, name, kind) for slug, name, kind in TENANTS}
        accounts = [_account(name, tenants[slug], role, known.get(name, "")) for name, slug, role in PEOPLE]
        partner = Tenant.objects.filter(slug=PARTNER).first()
        if partner is not None:
            both = User.objects.get(username=BOTH_SIDES)
            add_membership(principal=SYSTEM, user=both, tenant_id=partner.id, role=Role.PARTNER)
        password = _password(PARTNER_USER, known.get(PARTNER_USER, ""))
        accounts.append(Account(Role.PARTNER.value, PARTNER_USER, password, PARTNER_NAME))
    # What the worker would do within half a minute: the demo's first page shows them.
    add_where_missing()
    files.write(ACCOUNTS_FILE, json.dumps({"accounts": [asdict(account) for account in accounts]}, indent=2))
    return accounts


def _known(files: SecretFiles) -> dict[str, str]:
    path = files.path(ACCOUNTS_FILE)
    if not path.exists():
        return {}
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {account["username"]: account["password"] for account in data["accounts"]}


def _tenant(slug: str, name: str, kind: Tenant.Kind) -> Tenant:
    found = Tenant.objects.filter(slug=slug).first()
    if found is None and kind == Tenant.Kind.PLATFORM:
        found = Tenant.objects.filter(kind=kind).first()
    if found is None and kind == Tenant.Kind.PLATFORM:
        # Not through the service, whose audit entry would already need the platform's tenant.
        found = Tenant.objects.create(slug=slug, name=name, kind=kind)
        platform_tenant_id.cache_clear()
    return found or create_tenant(principal=SYSTEM, slug=slug, name=name, kind=kind)


def _account(username: str, tenant: Tenant, role: Role, known: str) -> Account:
    password = _password(username, known)
    user = User.objects.filter(username=username).first()
    if user is None:
        user = create_person(principal=SYSTEM, username=username, password=password)
    add_membership(principal=SYSTEM, user=user, tenant_id=tenant.id, role=role)
    return Account(role=role.value, username=username, password=password, tenant=tenant.name)


def _password(username: str, known: str) -> str:
    """The password in the file, if it is still right; else a new one, which an account that exists is given."""
    user = User.objects.filter(username=username).first()
    if known and (user is None or user.check_password(known)):
        return known
    password = secrets.token_urlsafe(15)
    if user is not None:
        user.set_password(password)
        user.save(update_fields=["password"])
        record(principal=SYSTEM, action="access.password.change", target=ObjectRef.of(user))
    return password
