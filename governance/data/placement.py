"""Where work may run: the policies are asked for each compute pool, when work is queued and again where it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import decide
from governance.access.facts import facts_of
from governance.access.services import record_refusal
from governance.audit.services import platform_tenant_id, record, record_read
from governance.data.labels import Limits
from governance.data.placement_log import Placed, log
from governance.data.pools import HOME, Pool, bursts, pools_for
from governance.data.queues import queue_length
from governance.data.selectors import together
from governance.decision import Decision
from governance.errors import AccessDenied
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.tasks import HOME_POOL, Admission, QueuedWork, queue_name

ACTION = "data.work.place"
# The rule by which work that names no data stays at home; no policy can lift it, for there is nothing to ask about.
UNNAMED = "openclaw.unnamed-work-stays-home"


@dataclass(frozen=True, slots=True)
class Work:
    """Something to run: on which data, (`region`) where it would like to be, and (`purpose`) what for, if it says."""

    tenant_id: UUID | None
    task: str
    workload: str = "default"
    assets: tuple[ObjectRef, ...] = ()
    region: str = ""
    purpose: str = ""

    def context(self, pool: Pool) -> dict[str, Any]:
        """The facts that placement policies speak of, for one pool."""
        return pool.context | ({"purpose": self.purpose} if self.purpose else {})


@dataclass(frozen=True, slots=True)
class Step:
    """What the policies said about one pool; `rules` and `reason` are empty where it may run."""

    pool: Pool
    allowed: bool
    rules: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """The pool that work goes to, its queue there, and what was said about each pool on the way."""

    pool: Pool
    queue: str
    trail: tuple[Step, ...] = ()
    burst: bool = False


class PlacementRefused(AccessDenied):
    """No pool may run this. Says the rule, its sentence and the data's label; kept in the audit log like a refusal."""

    status = 409
    code = "placement-refused"

    def __init__(self, work: Work, label: str, trail: tuple[Step, ...], decision: Decision) -> None:
        first = trail[0]
        self.rule = first.rules[0] if first.rules else ""
        self.label = label
        self.trail = trail
        super().__init__(
            _("No compute pool may run this. %(reason)s (rule %(rule)s, label %(label)s)")
            % {"reason": first.reason, "rule": self.rule, "label": label or _("unknown")},
            decision=decision,
            hint=" ".join(decision.helps),
        )
        self.errors = [
            {"pool": step.pool.name, "rule": rule, "detail": step.reason}
            for step in trail
            for rule in step.rules[:1]
        ]


Ending = Callable[[Mapping[str, Any], PlacementRefused], None]
_endings: dict[str, Ending] = {}


def on_refusal(task: str, ending: Ending) -> None:
    """When work of this task may start nowhere any more, `ending(arguments, refusal)` marks its job as refused."""
    _endings[task] = ending


def place(work: Work, *, queue_length: int | None = None) -> Placement:
    """The first pool that every asset of the work may be processed in: at home if possible, public pools never.

    Work that names no data stays at home. Public pools are for bursts alone, see `burst`. Raises PlacementRefused with
    the rule; recorded either way.
    """
    if not work.assets:
        _note(work, HOME, queue_length=queue_length)
        return Placement(HOME, work.workload)
    candidates = [pool for pool in pools_for(work.tenant_id) if pool.kind != "public"]
    return _first(work, _wished(candidates, work.region), queue_length=queue_length)


def burst(work: Work, queue_length: int) -> Placement:
    """Like `place`, but while the home queue is longer than the burst rule's threshold, what may move goes public."""
    rule = bursts().get(work.workload)
    if rule is not None and work.assets and queue_length > rule.threshold:
        for pool in pools_for(work.tenant_id):
            if pool.name == rule.pool and judge(work, pool)[0].allowed:
                made = Placement(pool, queue_name(work.workload, pool.name), burst=True)
                _note(work, made.pool, burst=True, queue_length=queue_length)
                return made
    return place(work, queue_length=queue_length)


def judge(work: Work, pool: Pool) -> tuple[Step, Decision | None]:
    """What the policies say about one pool: every asset must be allowed there, without duties that nobody fulfils.

    Work that names no data may touch any (keys, uploads, erasures), so it is allowed in the home pool alone.
    """
    if not work.assets:
        if pool.name == HOME_POOL:
            return Step(pool, True), None
        reason = _("Work that does not say which data it works on stays in the pool “%(pool)s”.")
        return Step(pool, False, (UNNAMED,), reason % {"pool": HOME_POOL}), None
    principal = replace(SYSTEM, tenant_id=work.tenant_id)
    decision: Decision | None = None
    for asset in work.assets:
        decision = decide(
            principal, ACTION, asset, tenant_id=work.tenant_id, context=work.context(pool), enforced=True
        )
        if not decision.allow:
            return Step(pool, False, decision.rules, decision.reasons[0]), decision
        if decision.obligations:
            reason = _("It is allowed on a condition that no pool fulfils: %(duties)s.") % {
                "duties": ", ".join(decision.obligations)
            }
            return Step(pool, False, decision.rules[1:] or decision.rules, reason), decision
    return Step(pool, True), decision


def _first(work: Work, candidates: Iterable[Pool], *, queue_length: int | None) -> Placement:
    trail: list[Step] = []
    refusal: Decision | None = None
    for pool in candidates:
        step, decision = judge(work, pool)
        trail.append(step)
        if step.allowed:
            _note(work, pool, queue_length=queue_length)
            return Placement(pool, queue_name(work.workload, pool.name), tuple(trail))
        refusal = refusal or decision
    assert refusal is not None, "the home pool is always a candidate, and work without data never gets here"
    raise _refused(work, tuple(trail), refusal)


def _wished(candidates: list[Pool], region: str) -> list[Pool]:
    return sorted(candidates, key=lambda pool: bool(region) and pool.region != region)


def _refused(
    work: Work, trail: tuple[Step, ...], decision: Decision, *, starting: bool = False
) -> PlacementRefused:
    error = PlacementRefused(work, together(work.assets, work.tenant_id).label, trail, decision)
    _note(work, None, rule=error.rule, reason=trail[0].reason, starting=starting)
    return error


def _note(
    work: Work,
    pool: Pool | None,
    *,
    rule: str = "",
    reason: str = "",
    starting: bool = False,
    burst: bool = False,
    queue_length: int | None = None,
) -> None:
    limits = together(work.assets, work.tenant_id) if work.assets else Limits(label="")
    log.note(
        Placed(
            tenant_id=work.tenant_id,
            task=work.task,
            workload=work.workload,
            label=limits.label,
            subjects=limits.subjects,
            region=limits.region,
            kept_for=limits.purpose,
            purpose=work.purpose,
            pool=pool.name if pool else "",
            rule=rule,
            reason=reason,
            starting=starting,
            burst=burst,
            queue_length=queue_length,
            on_data=bool(work.assets),
        )
    )


class Placer:
    """`governance.tenants.tasks.Placer` by the policies: every message of the product is placed by it."""

    def queue_for(self, work: QueuedWork) -> str:
        """The queue of the pool that may run it."""
        asked = _of(work)
        # What names no data stays at home whatever the rules: that is said without asking the database for any.
        bursting = bool(work.assets) and work.workload in bursts()
        found = burst(asked, queue_length(work.workload)) if bursting else place(asked)
        _keep_moved(asked, found.pool)
        return found.queue

    def admit(self, work: QueuedWork, pool: str, arguments: Mapping[str, Any]) -> Admission:
        """Run it if this worker's pool may; else send it to one that may; else end its job and keep the refusal."""
        asked = _of(work)
        if not work.assets and pool == HOME_POOL:
            return Admission(runs=True)
        try:
            with transaction.atomic():
                own = next((known for known in pools_for(work.tenant_id) if known.name == pool), None)
                step = judge(asked, own)[0] if own is not None else None
                if step is not None and step.allowed:
                    return Admission(runs=True)
                elsewhere = place(asked)
            _keep_sent_on(asked, pool, step, elsewhere)
            _keep_moved(asked, elsewhere.pool)
        except PlacementRefused as refusal:
            record_refusal(refusal)
            if ending := _endings.get(work.task):
                ending(arguments, refusal)
            return Admission(runs=False)
        return Admission(runs=False, queue=elsewhere.queue)


def _keep_moved(work: Work, pool: Pool) -> None:
    """Keep in the audit log which restricted data leaves the home pool, and for where.

    A place is asked for more often than anything moves, and at home nothing does: so this is said here, where work is
    sent, and not for every yes to the action. Whoever then reads the content there is asked for that as anywhere.
    """
    if pool.name == HOME_POOL or not work.assets:
        return
    with tenant_context(work.tenant_id) if work.tenant_id else platform_scope(), transaction.atomic():
        for asset in work.assets:
            record_read(
                principal=replace(SYSTEM, tenant_id=work.tenant_id),
                action="data.asset.move",
                target=asset,
                label=str(facts_of(asset, work.tenant_id).get("label", "")),
                tenant_id=work.tenant_id or platform_tenant_id(),
                details={"pool": pool.name, "region": pool.region, "task": work.task, "decision": ACTION},
            )


def _keep_sent_on(work: Work, pool: str, step: Step | None, elsewhere: Placement) -> None:
    """Keep in the audit log that work was brought to a pool where it may not run, and where it went from there."""
    with tenant_context(work.tenant_id) if work.tenant_id else platform_scope(), transaction.atomic():
        record(
            principal=replace(SYSTEM, tenant_id=work.tenant_id),
            action="data.work.sent_on",
            target=work.assets[0] if work.assets else ObjectRef("data.work", work.task, label=work.task),
            tenant_id=work.tenant_id or platform_tenant_id(),
            reason=step.reason if step is not None else _("Nobody has described this pool."),
            details={
                "task": work.task,
                "from": pool,
                "to": elsewhere.pool.name,
                "rule": step.rules[0] if step is not None and step.rules else "",
            },
        )


def _of(work: QueuedWork) -> Work:
    return Work(
        tenant_id=work.tenant_id,
        task=work.task,
        workload=work.workload,
        assets=work.assets,
        purpose=work.purpose,
    )
