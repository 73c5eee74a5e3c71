"""Celery in a tenant's context: the sender's row scope and request id travel in the message's headers.

Where work may run is decided by a placer (`governance.data.placement`): asked when work is queued, and again where it
starts. Nothing in the product sends a message but `enqueue` and the beat, which asks by `place_periodic`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol
from uuid import UUID

from celery import Task, current_app
from django.db import transaction

from governance.ids import uuid7
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause, Revoked, caused_by, checkpoint, current_cause
from governance.tenants.context import RowScope, current_request_id, current_scope, request_id, row_scope

log = logging.getLogger(__name__)

HEADER = "openclaw"
# Which compute pool a worker belongs to; its queues are named accordingly (see `queue_name`).
POOL_VARIABLE = "OPENCLAW_POOL"
HOME_POOL = "private"


# What is sent on waits a moment, so that a worker that listens to the wrong queue does not turn in a circle.
SENT_ON_S = 1.0


@dataclass(frozen=True, slots=True)
class QueuedWork:
    """A piece of work as its placement is decided: `workload` is the queue that the caller named.

    Without `assets` it says of no data that it works on it, and so it may touch any: it never leaves the home pool.
    """

    task: str
    workload: str
    assets: tuple[ObjectRef, ...] = ()
    tenant_id: UUID | None = None
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of work where it would start: it runs, it goes to another `queue`, or neither."""

    runs: bool
    queue: str = ""


class Placer(Protocol):
    """Decides where work runs."""

    def queue_for(self, work: QueuedWork) -> str:
        """The queue of a pool that may run it. Raises a DomainError when there is none."""

    def admit(self, work: QueuedWork, pool: str, arguments: Mapping[str, Any]) -> Admission:
        """Whether a worker of `pool` may start it now; what nobody may run is ended here, and kept in the audit log."""


class _EverythingAtHome:
    """The placer of a site without the data catalogue."""

    def queue_for(self, work: QueuedWork) -> str:
        return work.workload

    def admit(self, work: QueuedWork, pool: str, arguments: Mapping[str, Any]) -> Admission:
        return Admission(runs=True)


_placer: Placer = _EverythingAtHome()


def set_placer(placer: Placer) -> None:
    """Ask `placer` from now on."""
    global _placer
    _placer = placer


def queue_name(workload: str, pool: str) -> str:
    """The queue of a workload in a pool: its bare name at home, `workload@pool` elsewhere."""
    return workload if pool == HOME_POOL else f"{workload}@{pool}"


def own_pool() -> str:
    """The pool that this process works for."""
    return os.environ.get(POOL_VARIABLE) or HOME_POOL


def enqueue(
    name: str,
    *,
    queue: str = "default",
    countdown: float = 0,
    assets: Sequence[ObjectRef] = (),
    purpose: str = "",
    cause: Cause | None = None,
    **kwargs: Any,
) -> None:
    """Send task `name` when the present transaction commits (at once if there is none), in the present context.

    `cause` is who has it done (by default who causes what the present code does), which is asked again at its start.
    `assets` are the data that it works on, `purpose` is what it does so for, where that was said: they decide in which
    compute pool it runs. Raises the placer's refusal when that is none. Services send by name, so that they need not
    import the tasks, which are faces above them.
    """
    scope = current_scope()
    work = QueuedWork(
        task=name, workload=queue, assets=tuple(assets), tenant_id=scope.tenant_id, purpose=purpose
    )
    placed = _placer.queue_for(work)
    header = _header(work, scope, cause or current_cause() or Cause.house(scope.tenant_id))
    plain = {key: str(value) if isinstance(value, UUID) else value for key, value in kwargs.items()}
    transaction.on_commit(partial(_send, name, plain, placed, header, countdown))


def place_periodic(name: str, queue: str) -> tuple[str, dict[str, Any]]:
    """Queue and headers of a message that the clock sends: the house's own, in nobody's context, on no named data.

    Such work stays in the home pool, so nothing is asked that could be away. Raises the placer's refusal.
    """
    work = QueuedWork(task=name, workload=queue)
    return _placer.queue_for(work), {HEADER: _header(work, RowScope(), Cause.house(None))}


def _header(work: QueuedWork, scope: RowScope, cause: Cause) -> dict[str, Any]:
    return {
        "tenant": str(scope.tenant_id) if scope.tenant_id else "",
        "platform": scope.platform,
        "request_id": current_request_id(),
        "workload": work.workload,
        "assets": [[asset.type, asset.id] for asset in work.assets],
        "purpose": work.purpose,
        "cause": cause.as_header(),
    }


def _send(
    name: str, kwargs: dict[str, Any], queue: str, header: dict[str, Any], countdown: float = 0
) -> None:
    current_app.send_task(name, kwargs=kwargs, queue=queue, countdown=countdown, headers={HEADER: header})


class TenantTask(Task):
    """Base class of every task: restores the sender's context. A message without one runs with no context: no rows.

    Who caused it must still be good (`governance.tenants.checkpoints`); otherwise it does not start, or ends at its
    next checkpoint, and `when_revoked` is called with the reason and the arguments, to write it into the job's row.
    It is placed once more before it starts: a label may have risen while it waited, and a worker may listen to a queue
    that is not its pool's.
    """

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    # The workload in which its messages name the data they work on; only such work can leave the home pool.
    names_data_in: ClassVar[str] = ""
    when_revoked: ClassVar[Callable[..., None] | None] = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        header = (self.request.headers or {}).get(HEADER) or getattr(self.request, HEADER, None) or {}
        tenant = header.get("tenant")
        scope = RowScope(tenant_id=UUID(tenant) if tenant else None, platform=bool(header.get("platform")))
        cause = Cause.from_header(header["cause"]) if header.get("cause") else Cause.house(scope.tenant_id)
        with request_id(header.get("request_id") or str(uuid7())), row_scope(scope), caused_by(cause):
            work = QueuedWork(
                task=self.name,
                workload=header.get("workload") or self._workload(),
                assets=tuple(ObjectRef(type=kind, id=key) for kind, key in header.get("assets", ())),
                tenant_id=scope.tenant_id,
                purpose=header.get("purpose", ""),
            )
            admission = _placer.admit(work, own_pool(), kwargs)
            if admission.queue:
                _send(self.name, kwargs, admission.queue, header, SENT_ON_S)
            if not admission.runs:
                return None
            try:
                checkpoint()
                return super().__call__(*args, **kwargs)
            except Revoked as revoked:
                log.warning("%s ended: %s", self.name, revoked)
                if (tell := type(self).when_revoked) is not None:
                    tell(str(revoked), *args, **kwargs)
                return None

    def _workload(self) -> str:
        """The workload of a message that does not say it, as an earlier release's: by the queue that it came from."""
        queue = (self.request.delivery_info or {}).get("routing_key") or current_app.conf.task_default_queue
        return str(queue).partition("@")[0]


def movable_workloads() -> tuple[str, ...]:
    """The workloads with tasks that name the data they work on, read from the task registry."""
    current_app.loader.import_default_modules()
    found = {getattr(task, "names_data_in", "") for task in current_app.tasks.values()}
    return tuple(sorted(found - {""}))
