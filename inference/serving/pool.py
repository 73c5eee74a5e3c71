"""The loaded model versions of this process: each loaded once, kept while an endpoint uses it, unloaded after its last
request."""

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
from inference.serving.lookups import Arm
from inference.serving.runtime import LoadError, OnnxRuntime, Runtime
from inference.serving.signature import Signature

log = logging.getLogger(__name__)

RETRY_LOAD_AFTER_S = 5.0


@dataclass(slots=True, eq=False)
class ServedModel:
    """A loaded version with its thread. `rows` and `runs` count what it computed."""

    version_id: UUID
    version: str
    signature: Signature
    runtime: Runtime
    batcher: Batcher
    rows: int = 0
    runs: int = 0

    def count(self, rows: int) -> None:
        """One run was made. Called from the model's own thread."""
        self.rows += rows
        self.runs += 1
        metrics.BATCH_ROWS.observe(rows)


class ModelPool:
    """Loads and unloads. Belongs to one event loop; files are read and sessions made in a thread."""

    def __init__(
        self, *, runtime: type[Runtime] = OnnxRuntime, max_rows: int = 32, max_queued: int = 256
    ) -> None:
        self._runtime = runtime
        self._max_rows = max_rows
        self._max_queued = max_queued
        self._models: dict[UUID, ServedModel] = {}
        self._users: dict[object, frozenset[UUID]] = {}
        self._failed: dict[UUID, tuple[str, float]] = {}
        self._loading: SingleFlight[UUID, ServedModel] = SingleFlight(64)
        self._background: set[asyncio.Future[object]] = set()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-load")
        metrics.QUEUE_DEPTH.set_function(self.depth)
        metrics.LOADED_MODELS.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._models)

    def depth(self) -> int:
        """Requests waiting or running in all models."""
        return sum(model.batcher.depth for model in list(self._models.values()))

    def loaded(self, version_id: UUID) -> ServedModel | None:
        """The model, if it is ready now."""
        return self._models.get(version_id)

    async def get(self, arm: Arm) -> ServedModel:
        """The model of an arm, loaded if need be. Raises LoadError; a failed load is not repeated for some seconds."""
        model = self._models.get(arm.version_id)
        if model is not None:
            return model
        failure, until = self._failed.get(arm.version_id, ("", 0.0))
        if until > time.monotonic():
            raise LoadError(failure)
        return await self._loading.run(arm.version_id, lambda: self._load(arm))

    def prepare(self, arm: Arm) -> None:
        """Load behind the requests. Failures are logged by the load itself."""
        self._in_background(self._prepare(arm))

    def use(self, user: object, version_ids: Iterable[UUID]) -> None:
        """Say which versions `user` (an endpoint) needs from now on; unload what nobody needs any more."""
        wanted = frozenset(version_ids)
        if wanted:
            self._users[user] = wanted
        else:
            self._users.pop(user, None)
        needed = frozenset().union(*self._users.values())
        for version_id in self._models.keys() - needed:
            self._in_background(self._unload(self._models.pop(version_id)))

    async def close(self) -> None:
        """Finish the requests under way and unload everything."""
        self._users.clear()
        self.use(None, ())
        await asyncio.gather(*self._background, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _load(self, arm: Arm) -> ServedModel:
        started = time.monotonic()
        try:
            signature = Signature.declared(arm.inputs, arm.outputs)
            runtime, batchable = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._open, arm, signature
            )
        except (LoadError, KeyError, TypeError, ValueError) as error:
            log.error("model version %s (%s) cannot be loaded: %s", arm.version, arm.version_id, error)
            metrics.LOAD_FAILURES.inc()
            self._failed[arm.version_id] = (str(error), time.monotonic() + RETRY_LOAD_AFTER_S)
            raise LoadError(str(error)) from error
        self._failed.pop(arm.version_id, None)
        observe: Callable[[int], None] = lambda rows: model.count(rows)  # noqa: E731 - bound below
        batcher = Batcher(
            runtime.predict,
            name=str(arm.version_id),
            batchable=batchable,
            max_rows=self._max_rows,
            max_queued=self._max_queued,
            observe=observe,
        )
        model = ServedModel(arm.version_id, arm.version, signature, runtime, batcher)
        self._models[arm.version_id] = model
        log.info(
            "loaded model version %s (%s) in %.0f ms, %s",
            arm.version,
            arm.version_id,
            1000 * (time.monotonic() - started),
            "batched" if batchable else "not batched: its rows depend on each other or their number is fixed",
        )
        return model

    def _open(self, arm: Arm, signature: Signature) -> tuple[Runtime, bool]:
        runtime = self._runtime.load(arm.artifact_path, sha256=arm.sha256, signature=signature)
        return runtime, runtime.rows_are_independent()

    async def _prepare(self, arm: Arm) -> None:
        with suppress(LoadError, Overloaded):
            await self.get(arm)

    async def _unload(self, model: ServedModel) -> None:
        await model.batcher.close()
        model.runtime.close()
        log.info("unloaded model version %s (%s)", model.version, model.version_id)

    def _in_background(self, coroutine: object) -> None:
        task: asyncio.Future[object] = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._background.add(task)
        task.add_done_callback(self._background.discard)
