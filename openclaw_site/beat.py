"""The clock: every message that it sends is placed as `enqueue` places any other, and nothing that fails stops it."""

from __future__ import annotations

import copy
import logging
from typing import Any

from celery.beat import PersistentScheduler
from celery.result import AsyncResult

from governance.errors import DomainError
from governance.tenants.tasks import place_periodic

log = logging.getLogger(__name__)


class PlacingScheduler(PersistentScheduler):
    """Celery's scheduler; each entry goes to the queue that the placer names, with headers that say whose work it is.

    What is refused is not sent, and asked for again when it is next due. Where the placer itself fails, work that names
    no data still belongs into its own queue at home, and the worker asks once more before it starts.
    """

    def apply_async(
        self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> AsyncResult[Any] | None:
        entry = self.reserve(entry) if advance else entry
        queue = entry.options.get("queue") or self.app.conf.task_default_queue
        placed = copy.copy(entry)
        try:
            to, headers = place_periodic(entry.task, queue)
            placed.options = {**entry.options, "queue": to, "headers": headers}
        except DomainError as refused:
            log.warning("%s is not sent: %s", entry.task, refused)
            return None
        except Exception:
            log.exception("%s cannot be placed and stays at home", entry.task)
        return super().apply_async(placed, producer, advance=False, **kwargs)
