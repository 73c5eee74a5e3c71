"""Compute pools: where work may run, and from which queue length on work moves out of the house."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.access.hub_caches import HeardCache
from governance.audit.services import platform_tenant_id, record
from governance.data.models import BurstPolicy, ComputePool
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant
from governance.tenants.tasks import HOME_POOL, movable_workloads

Kind = ComputePool.Kind
ORDER = {Kind.PRIVATE: 0, Kind.EDGE: 1, Kind.PUBLIC: 2}
TOPIC_KEY = "pools"


@dataclass(frozen=True, slots=True)
class Pool:
    """A compute pool as placement sees it; `name` is its address, which no other has, `capacity` in tasks a minute."""

    name: str
    kind: str
    region: str = ""
    certified_for: tuple[str, ...] = ()
    capacity: int = 60

    @property
    def context(self) -> dict[str, Any]:
        """The facts that placement policies speak of."""
        told = {"pool": self.name, "pool_kind": self.kind, "certified_for": list(self.certified_for)}
        return told | ({"pool_region": self.region} if self.region else {})


@dataclass(frozen=True, slots=True)
class Burst:
    """From `threshold` waiting messages on, work of the workload that may move goes to `pool`."""

    workload: str
    threshold: int
    pool: str


HOME = Pool(name=HOME_POOL, kind=Kind.PRIVATE)

_pools: HeardCache[UUID | None, tuple[Pool, ...]] = HeardCache("asset")
_bursts: HeardCache[str, Mapping[str, Burst]] = HeardCache("asset")


def pools_for(tenant_id: UUID | None) -> tuple[Pool, ...]:
    """The pools in use that are open to a tenant, the home pool first, public ones last. Answered from memory."""
    return _pools.get(tenant_id, lambda: _load_pools(tenant_id))


def bursts() -> Mapping[str, Burst]:
    """The burst rules in use, by workload. Answered from memory."""
    return _bursts.get("", _load_bursts)


def forget_pools() -> None:
    """Believe nothing remembered of pools any more, in this process."""
    _pools.forget()
    _bursts.forget()


def order_of(pool: Pool) -> tuple[bool, int, str]:
    """The home pool, then private, edge and public ones, by name."""
    return pool.name != HOME_POOL, ORDER[Kind(pool.kind)], pool.name


def _load_pools(tenant_id: UUID | None) -> tuple[Pool, ...]:
    with platform_scope(), transaction.atomic():
        rows = list(
            ComputePool.objects.filter(
                Q(tenant_id=platform_tenant_id(), shared=True) | Q(tenant_id=tenant_id, tenant__isnull=False)
            )
        )
    described = any(row.address == HOME_POOL for row in rows)
    found = [
        Pool(row.address, row.kind, row.region, tuple(row.certified_for), row.capacity)
        for row in rows
        if row.enabled
    ]
    return tuple(sorted(found if described else [HOME, *found], key=order_of))


def _load_bursts() -> Mapping[str, Burst]:
    with platform_scope(), transaction.atomic():
        rows = BurstPolicy.objects.select_related("pool").filter(enabled=True, pool__enabled=True)
        return {row.workload: Burst(row.workload, row.threshold, row.pool.address) for row in rows}


def address_of(name: str, tenant_id: UUID | None) -> str:
    """What a pool's workers and queues are called: its name, and for a tenant's own the tenant's short name before it.

    Names have no dot, so no tenant's pool is ever taken for another's or for one of the platform.
    """
    if tenant_id is None or tenant_id == platform_tenant_id():
        return name
    return f"{Tenant.objects.get(pk=tenant_id).slug}.{name}"


def own_tenant(principal: Principal) -> UUID | None:
    """Whose pools a principal describes: their tenant's, and the platform's (None) where they act for it."""
    return None if principal.platform else principal.tenant_id


def pool_at(address: str) -> ComputePool:
    """A pool that the row scope shows. Raises InvalidInput for any other, whether there is one or not."""
    found = ComputePool.objects.filter(address=address).first()
    if found is None:
        raise InvalidInput(_("There is no pool “%(name)s”.") % {"name": address})
    return found


@transaction.atomic
def set_pool(
    *,
    principal: Principal,
    name: str,
    kind: str,
    region: str = "",
    certified_for: Iterable[str] = (),
    capacity: int = 60,
    enabled: bool = True,
    tenant_id: UUID | None = None,
) -> ComputePool:
    """Describe a compute pool, new or known by its name. Without a tenant it is the platform's, open to all.

    A tenant's own pool runs that tenant's work alone; its administrators describe it. The home pool is private and
    cannot be switched off: what may go nowhere else waits there.
    """
    owner = tenant_id or platform_tenant_id()
    require(principal, "data.pool.manage", tenant_id=owner)
    if name == HOME_POOL and (kind != Kind.PRIVATE or not enabled or tenant_id is not None):
        raise InvalidInput(_("The pool “private” is the house's own: it is private and always in use."))
    values = {
        "kind": kind,
        "region": region.strip(),
        "certified_for": sorted({word.strip().lower() for word in certified_for if word.strip()}),
        "capacity": capacity,
        "enabled": enabled,
        "shared": tenant_id is None,
    }
    pool = ComputePool.objects.select_for_update(of=("self",)).filter(tenant_id=owner, name=name).first()
    before = {field: getattr(pool, field) for field in values} if pool else {}
    pool = pool or ComputePool(tenant_id=owner, name=name, address=address_of(name, tenant_id))
    for field, value in values.items():
        setattr(pool, field, value)
    try:
        pool.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise InvalidInput("; ".join(error.messages)) from error
    try:
        with transaction.atomic():
            pool.save()
    except IntegrityError as error:
        raise Conflict(_("Somebody has just described this pool; look at it again.")) from error
    _changed(principal, "data.pool.set", pool, before=before, after=values)
    return pool


@transaction.atomic
def set_burst(
    *, principal: Principal, workload: str, threshold: int, pool_name: str, enabled: bool = True
) -> BurstPolicy:
    """From which queue length on a workload's movable work goes to a public pool of the platform.

    Raises InvalidInput for a workload without tasks that name their data: keys, erasures and uploads stay at home.
    """
    owner = platform_tenant_id()
    require(principal, "data.pool.manage", tenant_id=owner)
    pool = ComputePool.objects.filter(tenant_id=owner, name=pool_name, kind=Kind.PUBLIC).first()
    if pool is None:
        raise NotFound(_("The platform has no public pool “%(name)s”.") % {"name": pool_name})
    if threshold < 0:
        raise InvalidInput(_("A burst rule names a workload and a queue length of 0 or more."))
    if workload.strip() not in movable_workloads():
        raise InvalidInput(
            _("Work of “%(workload)s” does not say which data it works on, so it never leaves the house.")
            % {"workload": workload.strip()},
            code="workload-stays-home",
            hint=_("Burst rules are for: %(workloads)s.") % {"workloads": ", ".join(movable_workloads())},
        )
    rule, _made = BurstPolicy.objects.update_or_create(
        tenant_id=owner,
        workload=workload.strip(),
        defaults={"threshold": threshold, "pool": pool, "enabled": enabled},
    )
    after = {"threshold": threshold, "pool": pool_name, "enabled": enabled}
    _changed(principal, "data.burst.set", rule, before={}, after=after)
    return rule


def _changed(
    principal: Principal,
    action: str,
    row: ComputePool | BurstPolicy,
    *,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(row),
        tenant_id=row.tenant_id,
        details={"before": before, "after": after},
    )
    announce("asset", TOPIC_KEY)
    forget_pools()
