"""An open-loop load generator: requests come when they are due, whether the last ones were answered or not.

Raw sockets with keep-alive, because an ordinary client costs more than what it measures. A latency is counted from the
time that a request was due, so that waiting for a connection, or for this generator itself, is part of it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MAX_CONNECTIONS = 512


@dataclass
class Answers:
    """What came of a run: statuses (0: no answer), and seconds from due time to answer by status."""

    offered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: dict[int, list[float]] = field(default_factory=dict)
    took_s: float = 0.0

    def quantile_ms(self, share: float, status: int = 200) -> float:
        """A quantile of the latencies of one status, in milliseconds."""
        ordered = sorted(self.latencies_s.get(status, []))
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


async def offer(url: str, *, token: str, body: bytes, rate: float, seconds: float) -> Answers:
    """Offer `rate` requests per second (a Poisson process, always the same one) for some seconds."""
    parts = urlsplit(url)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    pool = _Connections(parts.hostname or "127.0.0.1", parts.port or 80)
    answers, chance = Answers(), random.Random(0)
    running: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    due = started
    while due < started + seconds:
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        answers.offered += 1
        task = asyncio.ensure_future(_one(pool, request, due, answers))
        running.add(task)
        task.add_done_callback(running.discard)
        due += chance.expovariate(rate)
    await asyncio.gather(*running)
    answers.took_s = time.perf_counter() - started
    pool.close()
    return answers


async def _one(pool: _Connections, request: bytes, due: float, answers: Answers) -> None:
    status = await pool.exchange(request)
    answers.statuses[status] += 1
    answers.latencies_s.setdefault(status, []).append(time.perf_counter() - due)


class _Connections:
    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def exchange(self, request: bytes) -> int:
        """The status of the answer; 0 when the connection breaks."""
        async with self._room:
            try:
                reader, writer = (
                    self._free.pop() if self._free else await asyncio.open_connection(*self._address)
                )
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            except (OSError, asyncio.IncompleteReadError):
                return 0
            self._free.append((reader, writer))
            return int(head[9:12])

    def close(self) -> None:
        """Close every connection."""
        for _reader, writer in self._free:
            writer.close()
