"""Steady traffic to one endpoint from several threads, with everything that came back kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

PAUSE_S = 0.02
TIMEOUT_S = 10.0
NOTHING = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `away` names the parts gone when it was asked for or given; status 0 is no answer at all."""

    at_s: float
    away: frozenset[str]
    status: int
    version: str = ""
    propensity: float = 0.0
    output: tuple[float, ...] = ()
    retry_after: str = ""
    text: str = ""


class Traffic:
    """Calls `path` over and over until the block ends. `away` is set by whoever takes a part of the site away."""

    def __init__(
        self, url: str, path: str, body: dict[str, Any], headers: Mapping[str, str], *, threads: int = 3
    ) -> None:
        self.url, self.path, self.body, self.headers = url, path, body, dict(headers)
        self.away = NOTHING
        self.answers: list[Answer] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)

    def since(self, at_s: float) -> list[Answer]:
        """What was asked for after that moment of the monotonic clock."""
        return [answer for answer in list(self.answers) if answer.at_s >= at_s]

    def _call(self) -> None:
        with httpx.Client(base_url=self.url, timeout=TIMEOUT_S, headers=self.headers) as http:
            while not self._over.wait(PAUSE_S):
                self.answers.append(self._one(http))

    def _one(self, http: httpx.Client) -> Answer:
        asked_s, before = time.monotonic(), self.away
        try:
            answer = http.post(self.path, json=self.body)
        except httpx.TransportError as error:
            return Answer(asked_s, frozenset({before, self.away}), 0, text=repr(error))
        away = frozenset({before, self.away})
        if answer.status_code != 200:
            return Answer(
                asked_s,
                away,
                answer.status_code,
                retry_after=answer.headers.get("Retry-After", ""),
                text=answer.text,
            )
        said = answer.json()
        return Answer(
            asked_s,
            away,
            200,
            version=said["model_version"],
            propensity=said["parameters"]["propensity"],
            output=tuple(said["outputs"][0]["data"]),
        )
