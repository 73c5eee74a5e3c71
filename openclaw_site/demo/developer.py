"""The application developer of the demo: the stock client of the Open Inference Protocol, REST, and a revoked token."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from openclaw_site.demo.clients import Program, told, wait_for
from openclaw_site.demo.steps import Step, StepFailed

Array = npt.NDArray[Any]
ROWS_PER_REQUEST = 64
SPLIT_REQUESTS = 400
SPLIT_IS_EVERYWHERE_S = 1.0
REVOKED_WITHIN_S = 1.0


class TritonCaller:
    """The unmodified `tritonclient.http` against our `/v2`, with a bearer token."""

    def __init__(self, url: str, token: str) -> None:
        from tritonclient.http import InferenceServerClient

        parts = urlsplit(url)
        self.client = InferenceServerClient(url=parts.netloc, ssl=parts.scheme == "https")
        self.headers = {"Authorization": f"Bearer {token}"}

    def predict(
        self, endpoint: str, given: str, rows: Array, *, binary: bool, version: str = ""
    ) -> tuple[Array, str]:
        """Probabilities for `rows`, and the version that answered."""
        from tritonclient.http import InferInput, InferRequestedOutput

        tensor = InferInput(given, list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows.astype(np.float32), binary_data=binary)
        wanted = InferRequestedOutput("probabilities", binary_data=binary)
        # A copy of the headers, because the client writes the length of the JSON part into what it is given.
        answer = self.client.infer(
            endpoint, [tensor], model_version=version, outputs=[wanted], headers=dict(self.headers)
        )
        return answer.as_numpy("probabilities"), str(answer.get_response().get("model_version", ""))

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


@contextmanager
def triton(url: str, token: str) -> Iterator[TritonCaller]:
    """The stock client with this token, closed at the end."""
    caller = TritonCaller(url, token)
    try:
        yield caller
    finally:
        caller.close()


def describe(step: Step, caller: TritonCaller, endpoint: str) -> None:
    """Health, readiness and metadata, as the stock client asks for them."""
    client, headers = caller.client, caller.headers
    step.expect(
        client.is_server_live(headers=headers) and client.is_server_ready(headers=headers),
        "tritonclient: the server is live and ready",
    )
    step.expect(
        client.is_model_ready(endpoint, headers=headers), f"tritonclient: the endpoint “{endpoint}” is ready"
    )
    metadata = client.get_model_metadata(endpoint, headers=headers)
    step.saw(
        "its metadata: "
        + ", ".join(
            f"{tensor['name']} {tensor['datatype']} {tensor['shape']}" for tensor in metadata["inputs"]
        )
        + " → "
        + ", ".join(
            f"{tensor['name']} {tensor['datatype']} {tensor['shape']}" for tensor in metadata["outputs"]
        )
        + f"; versions {', '.join(metadata['versions'])}"
    )


def measure(
    step: Step,
    caller: TritonCaller,
    endpoint: str,
    given: str,
    rows: Array,
    truth: Array,
    *,
    expected: float,
    version: str = "",
) -> float:
    """Predict every unseen row, binary and in JSON; returns the accuracy, which must be `expected`."""
    answers: dict[bool, Array] = {}
    for binary in (True, False):
        started = time.perf_counter()
        parts = [
            caller.predict(
                endpoint, given, rows[begin : begin + ROWS_PER_REQUEST], binary=binary, version=version
            )[0]
            for begin in range(0, len(rows), ROWS_PER_REQUEST)
        ]
        answers[binary] = np.concatenate(parts)
        seconds = time.perf_counter() - started
        step.note(
            f"{'binary' if binary else 'JSON'}: {len(rows)} rows in {len(parts)} requests, {seconds * 1000:.0f} ms"
        )
    step.expect(
        bool(np.allclose(answers[True], answers[False], atol=1e-5)),
        "JSON and the binary extension give the same probabilities",
    )
    accuracy = float((answers[True].argmax(axis=1) == truth).mean())
    step.expect(
        abs(accuracy - expected) < 0.005,
        f"accuracy on {len(rows)} unseen rows{f' (version {version})' if version else ''}: {accuracy:.1%}",
        seen=f"{accuracy:.3f}, the model card says {expected:.3f}",
    )
    return accuracy


def _answered(caller: TritonCaller, endpoint: str, given: str, rows: Array, version: str) -> str | None:
    from tritonclient.utils import InferenceServerException

    try:
        return caller.predict(endpoint, given, rows, binary=True, version=version)[1]
    except InferenceServerException:
        return None  # not heard of yet, or still being loaded


def measure_split(
    step: Step, caller: TritonCaller, endpoint: str, given: str, rows: Array, *, weights: dict[str, int]
) -> None:
    """Send single predictions without a version and compare who answered with the split that was set.

    A changed split is everywhere within a second; an arm takes its share once it is loaded, so each is named before.
    """
    time.sleep(SPLIT_IS_EVERYWHERE_S)
    for version, weight in weights.items():
        if weight:
            wait_for(
                f"an answer by version {version}",
                partial(_answered, caller, endpoint, given, rows[:1], version),
                timeout_s=20,
            )
    seen = Counter(
        caller.predict(endpoint, given, rows[i % len(rows)][None], binary=True)[1]
        for i in range(SPLIT_REQUESTS)
    )
    for version, weight in weights.items():
        share = weight / 100
        margin = 4 * (share * (1 - share) / SPLIT_REQUESTS) ** 0.5  # four standard deviations
        got = seen[version] / SPLIT_REQUESTS
        step.expect(
            abs(got - share) <= margin,
            f"version {version}: {weight} % set, {got:.1%} of {SPLIT_REQUESTS} answers seen",
            seen=f"{got:.1%}",
        )
    step.expect(set(seen) <= set(weights), "no other version answered", seen=dict(seen))


def refused_without_scope(step: Step, endpoint: str, program: Program) -> None:
    """A token without `models:infer`, and no token at all, are refused in the protocol's own form."""
    body: dict[str, Any] = {"inputs": []}
    without = program.http.post(f"/v2/models/{endpoint}/infer", json=body)
    step.expect(without.status_code == 401, "without a token: 401 " + told(without), seen=without.status_code)
    program.authorise("skills:invoke")
    narrow = program.send("POST", f"/v2/models/{endpoint}/infer", json=body)
    step.expect(
        narrow.status_code == 403, "with the wrong scope: 403 " + told(narrow), seen=narrow.status_code
    )


def revoke(step: Step, program: Program, endpoint: str, given: str, row: Array) -> None:
    """Revoke the token while it is in use, and measure how long it is still honoured."""
    body = {
        "inputs": [
            {"name": given, "shape": [1, *row.shape], "datatype": "FP32", "data": row.ravel().tolist()}
        ]
    }
    path = f"/v2/models/{endpoint}/infer"
    before = program.send("POST", path, json=body)
    step.expect(before.status_code == 200, "the token works", seen=before.status_code)
    program.revoke()
    revoked_at = time.perf_counter()
    while time.perf_counter() - revoked_at < 3 * REVOKED_WITHIN_S:
        answer = program.send("POST", path, json=body)
        if answer.status_code == 401:
            seconds = time.perf_counter() - revoked_at
            step.expect(
                seconds <= REVOKED_WITHIN_S,
                f"refused {seconds * 1000:.0f} ms after its revocation: {told(answer)}",
                seen=f"{seconds:.2f} s",
            )
            return
    raise StepFailed(f"the revoked token still works after {3 * REVOKED_WITHIN_S:.0f} s")
