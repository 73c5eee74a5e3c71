"""Shadow arms: a share of the requests is computed once more by another version, behind the answer and never in it.

A mirrored request can neither delay nor fail the one that was answered: it starts after the answer was sent, only so
many are under way at once, and none while the model that answers has requests waiting. What is not mirrored is counted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

from governance.ids import uuid7
from inference.serving import metrics
from inference.serving.datatypes import Tensors
from inference.serving.entries import CallerGone
from inference.serving.errors import Overloaded, ProtocolError
from inference.serving.outcomes import Outcome, OutcomeLog
from inference.serving.routing import Route, Router
from inference.serving.routing import Shadow as ShadowArm
from inference.serving.runtime import PredictError

SHADOW = "shadow"
MAX_UNDER_WAY = 16
MAX_WAITING_BESIDE = 4
TIMEOUT_S = 5.0


class Shadows:
    """Mirrors answered requests to the shadow arms of their route. Belongs to one event loop."""

    def __init__(
        self, router: Router, outcomes: OutcomeLog | None, *, max_under_way: int = MAX_UNDER_WAY
    ) -> None:
        self._router = router
        self._outcomes = outcomes
        self._max_under_way = max_under_way
        self._under_way: set[asyncio.Task[None]] = set()

    def mirror(self, route: Route, inputs: Tensors, answered: Outcome) -> None:
        """Give one answered request to the shadow arms that are drawn for it. Returns at once."""
        for shadow in self._router.mirrors(route):
            if shadow.routed.model is None:
                metrics.SHADOW_ANSWERS.labels("not ready").inc()
            elif len(self._under_way) >= self._max_under_way or self._is_busy(route):
                metrics.SHADOW_ANSWERS.labels("dropped").inc()
            else:
                task = asyncio.ensure_future(self._compute(shadow, inputs, answered))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    @staticmethod
    def _is_busy(route: Route) -> bool:
        return any(
            routed.model is not None and routed.model.batcher.depth > MAX_WAITING_BESIDE
            for routed in route.weighted
        )

    async def _compute(self, shadow: ShadowArm, inputs: Tensors, answered: Outcome) -> None:
        routed = shadow.routed
        assert routed.model is not None
        started, status = time.perf_counter(), 200
        said: tuple[str, float | None] = ("", None)
        try:
            outputs = await routed.model.batcher.predict(
                inputs, rows=answered.rows, deadline=time.monotonic() + TIMEOUT_S
            )
            if answered.rows == 1:
                said = routed.classes.read(outputs)
        except (Overloaded, CallerGone):
            metrics.SHADOW_ANSWERS.labels("dropped").inc()
            return
        except ProtocolError as error:
            status = error.status
        except PredictError as error:
            status = 400 if error.invalid_input else 500
        metrics.SHADOW_ANSWERS.labels("answered" if status == 200 else "failed").inc()
        if self._outcomes is not None:
            self._outcomes.add(
                replace(
                    answered,
                    id=uuid7(),
                    model_version_id=routed.arm.version_id,
                    at=datetime.now(UTC),
                    latency_us=int(1e6 * (time.perf_counter() - started)),
                    status=status,
                    chosen=SHADOW,
                    propensity=shadow.share,
                    predicted=said[0],
                    confidence=said[1],
                    mirror_of=answered.id,
                )
            )
