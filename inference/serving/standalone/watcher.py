"""Keeps what a model server serves equal to its repository, without a request noticing.

A changed endpoint is loaded and warmed beside the one that answers, and takes its place only when all of its versions
are ready. What cannot be loaded replaces nothing. The versions that were replaced stay in memory for a while: a request
that was admitted before the exchange still finds them, however long its body takes to arrive.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from inference.serving.errors import ProtocolError
from inference.serving.pool import ModelPool
from inference.serving.runtime import LoadError
from inference.serving.standalone import metrics
from inference.serving.standalone.repository import Contents, Repository, RepositoryEndpoint

log = logging.getLogger(__name__)

LINGER_S = 60.0
# Former forms of one endpoint in memory: a release that goes wrong in a loop must not fill it.
MAX_LINGERING = 2
RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class _Failure:
    """A form of an endpoint that could not be loaded, and when it is tried again (monotonic)."""

    endpoint: RepositoryEndpoint
    reason: str
    retry_at: float


class RepositoryWatcher:
    """The endpoints that answer now. Belongs to the event loop of its pool.

    It is warm once the repository has endpoints and all of them are loaded, and stays so: what breaks later takes
    nothing from what answers. With `tolerate_broken` it is warm also if some are broken from the beginning. A server
    with an empty disk beside others with full ones is not warm, so that no request comes to it.
    """

    def __init__(
        self,
        repository: Repository,
        pool: ModelPool,
        *,
        tolerate_broken: bool = False,
        linger_s: float = LINGER_S,
        retry_s: float = RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._pool = pool
        self._tolerate_broken = tolerate_broken
        self._linger_s = linger_s
        self._retry_s = retry_s
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._lingering: list[tuple[float, str, frozenset[UUID]]] = []
        self._said: dict[str, str] = {}
        self._said_empty = False
        self.endpoints: Mapping[str, RepositoryEndpoint] = MappingProxyType({})
        self.warm = False

    async def check(self) -> None:
        """Read the repository once and follow what changed."""
        try:
            contents = await asyncio.to_thread(self._repository.read)
        except OSError as error:
            metrics.READ_FAILURES.inc()
            log.error("the repository cannot be read, everything stays as it is: %s", error)
            return
        for name in self.endpoints.keys() - contents.endpoints.keys() - contents.broken.keys():
            self._remove(name)
        broken = dict(contents.broken)
        for name, endpoint in contents.endpoints.items():
            if self.endpoints.get(name) == endpoint:
                self._failures.pop(name, None)
            elif reason := await self._replace(endpoint):
                broken[name] = reason
        self._tell(contents, broken)
        self._let_go()

    async def _replace(self, endpoint: RepositoryEndpoint) -> str:
        """Load an endpoint and put it in place; the reason when it cannot be loaded."""
        name = endpoint.name
        failure = self._failures.get(name)
        if failure is not None and failure.endpoint == endpoint and failure.retry_at > self._clock():
            return failure.reason
        self._hold(name, endpoint)
        try:
            for arm in endpoint.arms:
                await self._pool.get(arm)
        except (LoadError, ProtocolError) as error:
            self._failures[name] = _Failure(endpoint, str(error), self._clock() + self._retry_s)
            self._hold(name)
            return str(error)
        self._failures.pop(name, None)
        before = self.endpoints.get(name)
        self._put(name, endpoint)
        metrics.SWAPS.inc()
        versions = ", ".join(f"{arm.version} ({arm.weight} %)" for arm in endpoint.arms)
        log.info("endpoint %s %s: %s", name, "changed" if before else "answers", versions)
        return ""

    def _remove(self, name: str) -> None:
        self._failures.pop(name, None)
        self._put(name, None)
        log.warning("endpoint %s is gone from the repository and answers no more", name)

    def _put(self, name: str, endpoint: RepositoryEndpoint | None) -> None:
        """Exchange one endpoint in one step; its former versions linger."""
        before = self.endpoints.get(name)
        endpoints = {key: value for key, value in self.endpoints.items() if key != name}
        if endpoint is not None:
            endpoints[name] = endpoint
        if before is not None:
            own = [item for item in self._lingering if item[1] == name]
            if len(own) == MAX_LINGERING:
                self._lingering.remove(own[0])
            self._lingering.append((self._clock() + self._linger_s, name, _versions(before)))
        self.endpoints = MappingProxyType(endpoints)
        self._hold(name)

    def _hold(self, name: str, coming: RepositoryEndpoint | None = None) -> None:
        """Tell the pool which versions an endpoint needs: those that answer, linger, or are being loaded."""
        needed = _versions(self.endpoints.get(name)) | _versions(coming)
        for _until, owner, versions in self._lingering:
            if owner == name:
                needed |= versions
        self._pool.use(("repository", name), needed)

    def _let_go(self) -> None:
        """Give up the versions that have lingered long enough."""
        now = self._clock()
        ended = {name for until, name, _versions in self._lingering if until <= now}
        self._lingering = [item for item in self._lingering if item[0] > now]
        for name in ended:
            self._hold(name)

    def _tell(self, contents: Contents, broken: dict[str, str]) -> None:
        """Log what is newly broken or mended, set the gauges, and see whether everything is warm."""
        for name, reason in broken.items():
            if self._said.get(name) != reason:
                stays = (
                    "its former versions go on answering" if name in self.endpoints else "it does not answer"
                )
                log.error("endpoint %s cannot be served, %s: %s", name, stays, reason)
        self._said = broken
        metrics.ENDPOINTS.set(len(self.endpoints))
        metrics.BROKEN.set(len(broken))
        if self.warm:
            return
        if self.endpoints and (not broken or self._tolerate_broken):
            self.warm = True
            log.info("the repository is read: %d endpoints answer", len(self.endpoints))
        elif not contents.endpoints and not broken and not self._said_empty:
            self._said_empty = True
            log.warning("the repository is empty; this server is ready once something is put into it")


def _versions(endpoint: RepositoryEndpoint | None) -> frozenset[UUID]:
    return frozenset(arm.version_id for arm in endpoint.arms) if endpoint else frozenset()
