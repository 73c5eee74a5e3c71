"""A small client of an OpenClaw site: predictions, capabilities, feedback, batch jobs, rollouts. It needs only httpx.

with Client("https://openclaw.example.com", client_id=…, client_secret=…) as client:
    client.use("sentiment", "很好用")
    answer = client.predict("digits-cnn", [{"image": image}])
    client.tell(answer.decision_id, label="7", satisfaction=5)
with Client(…, scope="batch:write") as client:
    job = client.start_batch("digits-cnn", Path("images.parquet"), result_format="parquet")
    client.batch_result(client.wait_for_batch(job["id"])["id"], Path("answers.parquet"))
with Client(…, scope=RELEASE) as client:
    rollout = client.start_rollout("digits-cnn", "2.0.0", plan={"steps": [{"percent": 5}, {"percent": 50}]})
    client.change_rollout(rollout["id"], "hold", reason="the data centre moves")
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from openclaw_client.calls import ClientError, problem_of
from openclaw_client.rollouts import RELEASE, PlannedExperiment, Rollout, RolloutCalls, Step

__all__ = ["RELEASE", "Answer", "Client", "ClientError", "PlannedExperiment", "Receipt", "Rollout", "Step"]

BATCH = 1_000
# The record of a decision is written behind its answer: feedback that was quicker is sent again so often.
RETRIES = 4
RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint predicted: an object of outputs per row, and which decision it was."""

    decision_id: str
    version: str
    propensity: float
    predictions: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one piece of feedback: `accepted`, `repeated`, `conflict` or `unknown`."""

    decision_id: str
    key: str
    status: str


class Client(RolloutCalls):
    """One application of the site. Not for several threads at once. Leaving the `with` block sends what is left."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str = "models:infer",
        timeout_s: float = 30.0,
    ) -> None:
        super().__init__(
            url, client_id=client_id, client_secret=client_secret, scope=scope, timeout_s=timeout_s
        )
        self._told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._http.close()

    def predict(self, endpoint: str, rows: Sequence[Any], *, version: str = "") -> Answer:
        """Predict up to 1,000 rows; without a version the endpoint's traffic split chooses one. Raises ClientError."""
        found = self._post(f"/api/v1/endpoints/{endpoint}/predict", {"rows": list(rows), "version": version})
        return Answer(found["decision_id"], found["version"], found["propensity"], found["predictions"])

    def use(self, capability: str, *given: str | bytes) -> list[dict[str, Any]]:
        """Use a base capability on texts (or on PNG or JPEG files' bytes); an answer for each. Raises ClientError."""
        pictures = [b64encode(item).decode() for item in given if isinstance(item, bytes)]
        if 0 < len(pictures) < len(given):
            raise ValueError("texts or pictures, not both in one call")
        body = {"images": pictures} if pictures else {"texts": list(given)}
        found = self._post(f"/api/v1/capabilities/{capability}/", body)
        return list(found["answers"])

    def start_batch(
        self,
        endpoint: str,
        file: Path | None = None,
        *,
        dataset: str = "",
        version: str = "",
        result_format: str = "jsonl",
        purpose: str = "",
        key: str = "",
        **about: str,
    ) -> dict[str, Any]:
        """Start a batch job over a file, or over a registered dataset by its id; returns the job. Raises ClientError.

        A dataset needs the right to read it, and `purpose` where it is kept for one alone. The same `key` again is the
        same job. `about` may say label and region of a file.
        """
        if (file is None) == (not dataset):
            raise ValueError("a file or a dataset, one of the two")
        fields = {"endpoint": endpoint, "version": version, "result_format": result_format, **about}
        headers = {"Idempotency-Key": key or str(uuid4())} | (
            {"X-OpenClaw-Purpose": purpose} if purpose else {}
        )
        if file is None:
            return dict(self._post("/api/v1/batch-jobs/", {**fields, "dataset": dataset}, headers=headers))
        with file.open("rb") as stream:

            def again() -> dict[str, Any]:
                stream.seek(0)
                return {"data": fields, "files": {"file": (file.name, stream)}, "headers": headers}

            return dict(self._call("POST", "/api/v1/batch-jobs/", again).json())

    def batch(self, job_id: str) -> dict[str, Any]:
        """A batch job as it is now. Raises ClientError."""
        return dict(self._call("GET", f"/api/v1/batch-jobs/{job_id}/").json())

    def change_batch(self, job_id: str, what: str) -> dict[str, Any]:
        """`pause`, `resume` or `cancel` a batch job. Raises ClientError."""
        return dict(self._post(f"/api/v1/batch-jobs/{job_id}/{what}/", {}))

    def wait_for_batch(self, job_id: str, *, every_s: float = 1.0) -> dict[str, Any]:
        """The job when it has ended, or is paused: that takes a person. Raises ClientError."""
        while (job := self.batch(job_id))["state"] in ("queued", "running"):
            time.sleep(every_s)
        return job

    def batch_result(self, job_id: str, path: Path) -> str:
        """Write a job's result into a file, and return its SHA-256, which is compared with the job's.

        Raises ClientError, also where less or something else came.
        """
        told, digest = self.batch(job_id)["result_sha256"], sha256()
        headers = {"Authorization": f"Bearer {self._token}"}
        with self._http.stream("GET", f"/api/v1/batch-jobs/{job_id}/result/", headers=headers) as answer:
            if not answer.is_success:
                answer.read()
                raise ClientError(answer.status_code, problem_of(answer))
            with path.open("wb") as file:
                for chunk in answer.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
        if digest.hexdigest() != told:
            raise ClientError(answer.status_code, "the result did not come whole; ask for it again")
        return digest.hexdigest()

    def tell(
        self,
        decision_id: str,
        *,
        label: str | None = None,
        reward: float | None = None,
        task_completed: bool | None = None,
        satisfaction: int | None = None,
        cost: float | None = None,
        key: str = "",
    ) -> str:
        """Remember what became of an answer until `flush`; returns the key.

        Telling the same again under a key of your own changes nothing; a correction needs another key.
        """
        item = {
            "decision_id": decision_id,
            "key": key or str(uuid4()),
            "label": label,
            "reward": reward,
            "task_completed": task_completed,
            "satisfaction": satisfaction,
            "cost": cost,
        }
        self._told.append({name: value for name, value in item.items() if value is not None})
        return str(item["key"])

    def flush(self) -> list[Receipt]:
        """Send what was told, in batches. Raises ClientError; what was not sent stays for the next call."""
        receipts: list[Receipt] = []
        for attempt in range(RETRIES + 1):
            again: list[dict[str, Any]] = []
            while self._told:
                batch = self._next_batch()
                answers = self._post("/api/v1/feedback/", {"items": batch})
                del self._told[: len(batch)]
                for item, answer in zip(batch, answers, strict=True):
                    if answer["retry"] and attempt < RETRIES:
                        again.append(item)
                    else:
                        receipts.append(Receipt(answer["decision_id"], answer["key"], answer["status"]))
            self._told = again
            if not again:
                break
            time.sleep(RETRY_AFTER_S)
        return receipts

    def _next_batch(self) -> list[dict[str, Any]]:
        """What is sent together: a decision once at most, for a correction in the same batch would contradict it."""
        seen: set[str] = set()
        for item in self._told[:BATCH]:
            if item["decision_id"] in seen:
                break
            seen.add(item["decision_id"])
        return self._told[: len(seen)]
