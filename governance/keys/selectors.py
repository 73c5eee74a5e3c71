"""Reading the state of keys."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from governance.keys.memory import memory
from governance.keys.models import DataKey, Destruction, KeyState, ReEncryption, WrappingKey
from governance.keys.providers import provider
from governance.tenants.models import Tenant

DATA_KEYS_SHOWN = 200
PROBLEMS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ProviderState:
    """The provider in use, as the console shows it."""

    name: str
    label: str
    is_hardware: bool
    ok: bool
    detail: str
    warnings: tuple[str, ...]


@dataclass(slots=True)
class TenantKeys:
    """One tenant's keys in a line."""

    tenant: Tenant
    active: WrappingKey | None = None
    data_keys: int = 0
    purposes: int = 0
    job: ReEncryption | None = None
    destruction: Destruction | None = None


@dataclass(slots=True)
class KeyPage:
    """Everything about one tenant's keys."""

    tenant: Tenant
    wrapping_keys: list[WrappingKey] = field(default_factory=list)
    data_keys: list[DataKey] = field(default_factory=list)
    to_rewrap: int = 0
    jobs: list[ReEncryption] = field(default_factory=list)
    destruction: Destruction | None = None

    @property
    def active(self) -> WrappingKey | None:
        """The wrapping key in use."""
        return next((key for key in self.wrapping_keys if key.state == KeyState.ACTIVE), None)

    @property
    def waiting_to_be_erased(self) -> list[WrappingKey]:
        """Destroyed keys that their provider has not erased yet."""
        return [k for k in self.wrapping_keys if k.state == KeyState.DESTROYED and k.erased_at is None]


def provider_state() -> ProviderState:
    """Ask the provider now. When it does not answer, this process forgets what it has opened."""
    place = provider()
    status = place.status()
    if not status.ok:
        memory.forget()
    return ProviderState(
        place.name, place.label, place.is_hardware, status.ok, status.detail, tuple(map(str, status.warnings))
    )


def overview() -> list[TenantKeys]:
    """Every visible tenant that has or had keys, by name: four queries."""
    rows: dict[UUID, TenantKeys] = {}
    for key in WrappingKey.objects.select_related("tenant").order_by("tenant__name", "number"):
        row = rows.setdefault(key.tenant_id, TenantKeys(key.tenant))
        if key.state == KeyState.ACTIVE:
            row.active = key
    counts = DataKey.objects.exclude(state=KeyState.DESTROYED).order_by().values("tenant_id")
    for found in counts.annotate(keys=Count("id"), purposes=Count("purpose", distinct=True)):
        rows[found["tenant_id"]].data_keys = found["keys"]
        rows[found["tenant_id"]].purposes = found["purposes"]
    for job in ReEncryption.objects.filter(state__in=["queued", "running"]):
        if job.tenant_id in rows:
            rows[job.tenant_id].job = job
    for request in Destruction.objects.filter(state=Destruction.State.REQUESTED):
        rows[request.tenant_id].destruction = request
    return list(rows.values())


def key_page(tenant: Tenant) -> KeyPage:
    """One tenant's keys; of the data keys the newest few hundred."""
    wrapping = WrappingKey.objects.filter(tenant=tenant).select_related("destroyed_by").order_by("-number")
    data = DataKey.objects.filter(tenant=tenant).select_related("wrapping_key")
    open_requests = Destruction.objects.filter(tenant=tenant, state=Destruction.State.REQUESTED)
    return KeyPage(
        tenant=tenant,
        wrapping_keys=list(wrapping),
        data_keys=list(data.order_by("state", "purpose", "-number")[:DATA_KEYS_SHOWN]),
        to_rewrap=data.filter(wrapping_key__state=KeyState.RETIRED).exclude(state=KeyState.DESTROYED).count(),
        jobs=list(ReEncryption.objects.filter(tenant=tenant).order_by("-id")[:5]),
        destruction=open_requests.select_related("requested_by").first(),
    )


def problems() -> list[str]:
    """What an administrator should see to, in words; for the command line and the page."""
    found = []
    state = provider_state()
    if not state.ok:
        found.append(f"provider: {state.detail}")
    found += [f"provider: {warning}" for warning in state.warnings]
    alive = DataKey.objects.exclude(state=KeyState.DESTROYED)
    by_provider: dict[str, int] = defaultdict(int)
    for name in alive.values_list("wrapping_key__provider", flat=True):
        by_provider[name] += 1
    found += [
        f"{count} data keys are wrapped by the provider {name}, which is not the one in use: rotate the wrapping keys"
        for name, count in sorted(by_provider.items())
        if name != state.name
    ]
    waiting = WrappingKey.objects.filter(state=KeyState.DESTROYED, erased_at=None).count()
    if waiting:
        found.append(f"{waiting} destroyed wrapping keys wait to be erased by their provider")
    waiting_or_stalled = ~Q(waits_for="") | Q(touched_at__lte=timezone.now() - timedelta(minutes=5))
    found += [
        f"the re-encryption {job.id} waits: {job.waits_for}"
        if job.waits_for
        else f"the re-encryption {job.id} has not moved for five minutes"
        for job in ReEncryption.objects.filter(state__in=["queued", "running"]).filter(waiting_or_stalled)
    ]
    found += [
        f"the data key {key.purpose} {key.number} of tenant {key.tenant_id} cannot be unwrapped: {key.problem}"
        for key in alive.exclude(problem="").order_by("id")[:PROBLEMS_SHOWN]
    ]
    return found
