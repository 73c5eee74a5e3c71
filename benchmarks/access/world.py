"""What the sections need of the world: Django set up, a tenant, an administrator, a client with grants."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

import django

django.setup()

from django.db import transaction

from governance.access.principals import principal_for_user
from governance.principals import Factor, Principal, Signals
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant, User
from openclaw_site.demo import accounts


@dataclass(frozen=True)
class World:
    """One organisation and its administrator."""

    tenant: Tenant
    admin: User
    principal: Principal


@dataclass(frozen=True)
class Endpoint:
    """As much of an endpoint as a decision about a prediction needs."""

    id: UUID
    tenant_id: UUID
    name: str = "bench"
    arms: tuple[object, ...] = ()


def make() -> World:
    """Seed the demo's accounts once; later sections find them."""
    accounts.seed()
    with platform_scope(), transaction.atomic():
        tenant = Tenant.objects.get(slug=accounts.COMPANY)
        admin = User.objects.get(username="tenant-admin")
    signals = Signals(Factor.PASSKEY, time.time())
    return World(tenant, admin, principal_for_user(admin, tenant_id=tenant.id, signals=signals))
