"""The loaded model versions of this process: each loaded once, kept while an endpoint uses it, unloaded after its last
request. Within a memory budget, what was not used for longest makes room; what has requests under way never does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from inference.serving import metrics
from inference.serving.batching import Batcher
from inference.serving.cache import SingleFlight
from inference.serving.errors import Overloaded
from inference.serving.fairness import Turns
from inference.serving.lookups import Arm
from inference.serving.options import ServingOptions
from inference.serving.runtime import LoadError, Runtime
from inference.serving.runtimes import Loader, Runtimes
from inference.serving.signature import Signature

log = logging.getLogger(__name__)

RETRY_LOAD_AFTER_S = 5.0
# A version loaded ahead of its traffic pushes out nothing that was used as lately as this: two would take turns.
KEEP_USED_S = 5.0

NO_TRIAL = ServingOptions(trial=False)


class NoRoom(Overloaded):
    """The memory budget is taken by models that are in use."""

    def __init__(self) -> None:
        super().__init__(
            "the memory for models is taken by models in use; try again shortly", retry_after_s=5
        )


class Closed(Overloaded):
    """Nothing is loaded any more: the server is on its way out."""

    def __init__(self) -> None:
        super().__init__("this server is shutting down; try again", retry_after_s=5)


@dataclass(slots=True, eq=False)
class ServedModel:
    """A loaded version with its thread. `memory_bytes` is what it counts against the budget."""

    version_id: UUID
    version: str
    signature: Signature
    runtime: Runtime
    batcher: Batcher
    memory_bytes: int = 0


class ModelPool:
    """Loads and unloads. Belongs to one event loop; files are read and sessions made in a thread.

    `memory_bytes` is the budget for all loaded versions together (0: none). `released` is told of every version that
    was unloaded though an endpoint still wants it. `objective_s` is the latency objective of who says none.
    """

    def __init__(
        self,
        *,
        loader: Loader | None = None,
        max_rows: int = 32,
        max_queued: int = 256,
        memory_bytes: int = 0,
        objective_s: float = 1.0,
    ) -> None:
        self.released: Callable[[UUID], None] = lambda version_id: None
        self._loader = loader or Runtimes(NO_TRIAL)
        self._max_rows = max_rows
        self._max_queued = max_queued
        self._memory_bytes = memory_bytes
        self.objective_s = objective_s
        self._objectives: dict[object, float] = {}
        self._turns = Turns()
        self._reserved: dict[UUID, int] = {}
        self._withdrawn: set[UUID] = set()
        self._models: dict[UUID, ServedModel] = {}
        self._users: dict[object, frozenset[UUID]] = {}
        self._failed: dict[UUID, tuple[str, float]] = {}
        self._loading: SingleFlight[UUID, ServedModel] = SingleFlight(64)
        self._background: set[asyncio.Future[object]] = set()
        self._executor: ThreadPoolExecutor | None = None
        self.open()
        metrics.QUEUE_DEPTH.set_function(self.depth)
        metrics.LOADED_MODELS.set_function(self.__len__)
        metrics.MODEL_MEMORY.set_function(self.memory_bytes)

    def __len__(self) -> int:
        return len(self._models)

    def open(self) -> None:
        """Load from here on, as a new pool does; a closed one begins with nothing."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-load")

    def depth(self) -> int:
        """Requests waiting or running in all models."""
        return sum(model.batcher.depth for model in list(self._models.values()))

    def memory_bytes(self) -> int:
        """What the loaded versions, and those that are being loaded, count against the budget."""
        return sum(model.memory_bytes for model in list(self._models.values())) + sum(self._reserved.values())

    def loaded(self, version_id: UUID) -> ServedModel | None:
        """The model, if it is ready now."""
        return self._models.get(version_id)

    async def get(self, arm: Arm, *, spare_used_s: float = 0.0) -> ServedModel:
        """The model of an arm, loaded if need be. Raises LoadError and Overloaded; a failed load is not repeated for
        some seconds."""
        model = self._models.get(arm.version_id)
        if model is not None:
            return model
        failure, until = self._failed.get(arm.version_id, ("", 0.0))
        if until > time.monotonic():
            raise LoadError(failure)
        return await self._loading.run(arm.version_id, lambda: self._load(arm, spare_used_s=spare_used_s))

    def prepare(self, arm: Arm) -> None:
        """Load behind the requests. Failures are logged by the load itself."""
        self._in_background(self._prepare(arm))

    def use(self, user: object, version_ids: Iterable[UUID], *, objective_s: float | None = None) -> None:
        """Say which versions `user` (an endpoint) needs from now on; unload what nobody needs any more.

        A version follows the strictest `objective_s` of those who use it. Who only holds versions says none.
        """
        wanted = frozenset(version_ids)
        touched = wanted | self._users.pop(user, frozenset())
        self._objectives.pop(user, None)
        if wanted:
            self._users[user] = wanted
            if objective_s is not None:
                self._objectives[user] = objective_s
        needed = frozenset().union(*self._users.values())
        for version_id in self._models.keys() - needed:
            self._in_background(self._unload(self._models.pop(version_id)))
        for version_id in touched & self._models.keys():
            self._models[version_id].batcher.aim(self._objective_of(version_id))

    def release(self, version_id: UUID) -> bool:
        """Unload a version though it is wanted: it finishes what it accepted, and the next request loads it anew."""
        model = self._models.pop(version_id, None)
        if model is None:
            return False
        self.released(version_id)
        self._in_background(self._unload(model))
        return True

    def withdraw(self, version_id: UUID) -> None:
        """Unload a version that may not be served any more; a load of it that is under way fails."""
        if version_id in self._reserved:
            self._withdrawn.add(version_id)
        self.release(version_id)

    async def close(self) -> None:
        """Finish the requests under way, unload everything, and load nothing more until it is opened."""
        executor, self._executor = self._executor, None
        self._users.clear()
        self._objectives.clear()
        self.use(None, ())
        await asyncio.gather(*self._background, return_exceptions=True)
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
        self._failed.clear()

    async def _load(self, arm: Arm, *, spare_used_s: float) -> ServedModel:
        started, executor = time.monotonic(), self._executor
        if executor is None:
            raise Closed
        try:
            signature = Signature.declared(arm.inputs, arm.outputs)
            self._reserved[arm.version_id] = expected = self._loader.expected_bytes(arm)
            if self._memory_bytes:
                await self._make_room(expected, spare_used_s)
            runtime, batchable = await asyncio.get_running_loop().run_in_executor(
                executor, self._open, arm, signature
            )
            if executor is not self._executor:
                await asyncio.to_thread(runtime.close)
                raise Closed
            if arm.version_id in self._withdrawn:
                await asyncio.to_thread(runtime.close)
                raise LoadError("it was withdrawn while it was being loaded")
        except (LoadError, KeyError, TypeError, ValueError) as error:
            log.error("model version %s (%s) cannot be loaded: %s", arm.version, arm.version_id, error)
            metrics.LOAD_FAILURES.inc()
            self._failed[arm.version_id] = (str(error), time.monotonic() + RETRY_LOAD_AFTER_S)
            raise LoadError(str(error)) from error
        finally:
            self._reserved.pop(arm.version_id, None)
            self._withdrawn.discard(arm.version_id)
        self._failed.pop(arm.version_id, None)
        batcher = Batcher(
            runtime.predict,
            name=str(arm.version_id),
            batchable=batchable,
            max_rows=self._max_rows,
            max_queued=self._max_queued,
            objective_s=self._objective_of(arm.version_id),
            turns=self._turns if runtime.computes_here else None,
            lanes=runtime.lanes,
        )
        model = ServedModel(arm.version_id, arm.version, signature, runtime, batcher, runtime.memory_bytes)
        self._models[arm.version_id] = model
        log.info(
            "loaded model version %s (%s) in %.0f ms, %s",
            arm.version,
            arm.version_id,
            1000 * (time.monotonic() - started),
            "batched" if batchable else "not batched: its rows depend on each other or their number is fixed",
        )
        return model

    def _objective_of(self, version_id: UUID) -> float:
        """The strictest objective of those who use a version; the common one where nobody says any."""
        said = [
            objective_s
            for user, objective_s in self._objectives.items()
            if version_id in self._users.get(user, ())
        ]
        return min(said, default=self.objective_s)

    async def _make_room(self, expected: int, spare_used_s: float) -> None:
        """Unload idle versions, least recently used first, until what is reserved fits. Raises LoadError, NoRoom."""
        if expected > self._memory_bytes:
            raise LoadError(
                f"it needs about {expected} bytes; the budget for all models is {self._memory_bytes}"
            )
        before = time.monotonic() - spare_used_s
        idle = sorted(
            (m for m in self._models.values() if not m.batcher.depth and m.batcher.last_used <= before),
            key=lambda model: model.batcher.last_used,
        )
        excess, leaving = self.memory_bytes() - self._memory_bytes, []
        for model in idle:
            if excess <= 0:
                break
            excess -= model.memory_bytes
            leaving.append(model)
        if excess > 0:
            raise NoRoom
        for model in leaving:
            metrics.UNLOADED_FOR_ROOM.inc()
            del self._models[model.version_id]
            self.released(model.version_id)
        # The memory is there only when they are gone.
        await asyncio.gather(*map(self._unload, leaving))

    def _open(self, arm: Arm, signature: Signature) -> tuple[Runtime, bool]:
        try:
            runtime = self._loader.load(arm, signature)
        except Overloaded as error:
            raise LoadError(error.message) from error
        return runtime, runtime.rows_are_independent()

    async def _prepare(self, arm: Arm) -> None:
        with suppress(LoadError, Overloaded):
            await self.get(arm, spare_used_s=KEEP_USED_S)

    async def _unload(self, model: ServedModel) -> None:
        await model.batcher.close()
        await asyncio.to_thread(model.runtime.close)
        log.info("unloaded model version %s (%s)", model.version, model.version_id)

    def _in_background(self, coroutine: object) -> None:
        task: asyncio.Future[object] = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._background.add(task)
        task.add_done_callback(self._background.discard)
