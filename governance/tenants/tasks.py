"""Celery in a tenant's context: the sender's row scope and request id travel in the message's headers."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from celery import Task, current_app
from django.db import transaction

from governance.ids import uuid7
from governance.tenants.context import RowScope, current_request_id, current_scope, request_id, row_scope

HEADER = "openclaw"


def enqueue(name: str, *, queue: str = "default", countdown: float = 0, **kwargs: Any) -> None:
    """Send task `name` when the present transaction commits (at once if there is none), in the present context.

    Services send by name, so that they need not import the tasks, which are faces above them.
    """
    scope = current_scope()
    header = {
        "tenant": str(scope.tenant_id) if scope.tenant_id else "",
        "platform": scope.platform,
        "request_id": current_request_id(),
    }
    plain = {key: str(value) if isinstance(value, UUID) else value for key, value in kwargs.items()}
    transaction.on_commit(
        partial(
            current_app.send_task,
            name,
            kwargs=plain,
            queue=queue,
            countdown=countdown,
            headers={HEADER: header},
        )
    )


class TenantTask(Task):
    """Base class of every task: restores the sender's context. A message without one runs with no context: no rows."""

    abstract = True
    acks_late = True
    reject_on_worker_lost = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        header = (self.request.headers or {}).get(HEADER) or getattr(self.request, HEADER, None) or {}
        tenant = header.get("tenant")
        scope = RowScope(tenant_id=UUID(tenant) if tenant else None, platform=bool(header.get("platform")))
        with request_id(header.get("request_id") or str(uuid7())), row_scope(scope):
            return super().__call__(*args, **kwargs)
