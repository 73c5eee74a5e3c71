"""A model in a process of its own: what crashes the runtime ends that process, and not the site's.

The child is limited (`child`), gets the artifact in memory that it inherits and the tensors over a socket, and is
started again with a growing pause. It could not open the artifact itself: that is sealed, and the child has no keys.
Requests that were under way when it ended are refused with 503 and a time to come back; they are not repeated,
because one of them may be the cause.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from governance.confinement import syscalls
from inference.serving import framing, metrics
from inference.serving.artifacts import ArtifactFile, artifact_in_memory, in_memory
from inference.serving.datatypes import Tensors
from inference.serving.errors import Overloaded
from inference.serving.options import ChildLimits
from inference.serving.runtime import (
    LoadError,
    OnnxOptions,
    PredictError,
    expected_memory_bytes,
)
from inference.serving.signature import Signature

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
# A child that lived longer than this did not end because of what the last one ended of.
STEADY_S = 60.0
INTERPRETER_BYTES = 64 * 1024 * 1024
TORCH_BYTES = 256 * 1024 * 1024

_ROOT = Path(__file__).parents[2]
# No more than this: the site's own environment holds the addresses of its database and broker.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


class ChildGone(Exception):
    """The child ended, or was ended because it took too long. The message says which."""


class Child:
    """One child process with its model loaded. Raises LoadError where it cannot load it."""

    def __init__(
        self,
        path: ArtifactFile,
        *,
        sha256: str,
        signature: Signature,
        options: OnnxOptions,
        limits: ChildLimits,
        format: str = "onnx",
    ) -> None:
        self._signature = signature
        self._limits = limits
        self.started_at = time.monotonic()
        artifact = artifact_in_memory(path, sha256=sha256)
        self._folder = tempfile.TemporaryDirectory(prefix="openclaw-model-")
        self._connection, theirs = socket.socketpair()
        artifact_descriptor = artifact.fileno()
        filter_program = in_memory(_filter_program())
        filter_program.seek(0)
        with theirs, artifact, filter_program:
            command = [sys.executable, "-m", "inference.serving.child", str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, str(filter_program.fileno()), str(limits.address_space_bytes), self._folder.name],
                cwd=_ROOT,
                env=_ENVIRONMENT,
                pass_fds=[theirs.fileno(), artifact.fileno(), filter_program.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            self._connection.settimeout(limits.load_timeout_s)
            answer = self._exchange(
                {
                    "artifact": artifact_descriptor,
                    "format": format,
                    "sha256": sha256,
                    "inputs": [spec.as_dict() for spec in signature.inputs.values()],
                    "outputs": [spec.as_dict() for spec in signature.outputs.values()],
                    "providers": options.providers,
                    "threads": options.threads,
                }
            )[0]
        except ChildGone as gone:
            raise LoadError(f"loading or first running the artifact ended its process: {gone}") from gone
        if "error" in answer:
            self.end()
            raise LoadError(answer["message"])
        if answer["unconfined"]:
            _warn_once(tuple(answer["unconfined"]))
        self.rows_are_independent: bool = answer["rows_are_independent"]
        self._connection.settimeout(limits.run_timeout_s)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory_bytes(self) -> int:
        """Its resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def run(self, inputs: Tensors) -> Tensors:
        """Compute every output. Raises PredictError and ChildGone."""
        answer, outputs = self._exchange({}, inputs)
        if "error" in answer:
            raise PredictError(answer["message"], invalid_input=answer["invalid"])
        return outputs

    def end(self) -> str:
        """End the process, if it has not ended by itself, and say how it did."""
        self._connection.close()
        status = self._ended()
        self._folder.cleanup()
        if status is None:
            return "it did not answer in time and was ended"
        return f"it was ended by {signal.Signals(-status).name}" if status < 0 else f"it ended with {status}"

    def _ended(self) -> int | None:
        """Its exit status; None where it had to be ended."""
        try:
            # One that crashed may still be on its way out; its own end says more than ours.
            return self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def _exchange(
        self, header: dict[str, Any], tensors: Tensors | None = None
    ) -> tuple[dict[str, Any], Tensors]:
        try:
            framing.send(self._connection, header, tensors, self._signature.inputs)
            return framing.receive(self._connection, self._signature.outputs)
        except TimeoutError:
            self._process.kill()
            self.end()
            raise ChildGone("it did not answer in time and was ended") from None
        except framing.Hangup:
            raise ChildGone(self.end()) from None
        except (KeyError, TypeError, ValueError) as error:
            # Whoever took the child over can say anything; it is not listened to any longer.
            self._process.kill()
            self.end()
            raise ChildGone("it said something that no child says") from error


class IsolatedRuntime:
    """A model in a child process: an ONNX Runtime session, or a torch-exported program."""

    computes_here = True
    lanes = 1

    def __init__(self, start: dict[str, Any]) -> None:
        self._start = start
        self._child: Child | None = Child(**start)
        self._independent = self._child.rows_are_independent
        self.memory_bytes = self._child.memory_bytes
        self._pause_s = FIRST_PAUSE_S
        self._not_before = 0.0

    @classmethod
    def load(
        cls,
        path: ArtifactFile,
        *,
        sha256: str,
        signature: Signature,
        options: OnnxOptions,
        limits: ChildLimits,
        format: str = "onnx",
    ) -> IsolatedRuntime:
        """Start a child that loads what has exactly this digest and this signature. Raises LoadError."""
        return cls(
            {
                "path": path,
                "sha256": sha256,
                "signature": signature,
                "options": options,
                "limits": limits,
                "format": format,
            }
        )

    @property
    def pid(self) -> int | None:
        """The child's process, while there is one."""
        return self._child.pid if self._child is not None else None

    def predict(self, inputs: Tensors) -> Tensors:
        """Compute every output. Raises PredictError, and Overloaded while there is no child or it ends meanwhile."""
        child = self._child or self._started_again()
        try:
            return child.run(inputs)
        except ChildGone as gone:
            self._child = None
            metrics.RUNTIME_CRASHES.inc()
            if time.monotonic() - child.started_at > STEADY_S:
                self._pause_s = FIRST_PAUSE_S
            self._wait_before_next(str(gone))
            raise self._unavailable() from gone

    def rows_are_independent(self) -> bool:
        return self._independent

    def ready(self) -> bool:
        return self._child is not None

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _started_again(self) -> Child:
        if time.monotonic() < self._not_before:
            raise self._unavailable()
        try:
            self._child = Child(**self._start)
        except LoadError as error:
            self._wait_before_next(str(error))
            raise self._unavailable() from error
        return self._child

    def _wait_before_next(self, reason: str) -> None:
        log.error(
            "the process of artifact %s: %s; next start in %.1f s",
            self._start["sha256"],
            reason,
            self._pause_s,
        )
        self._not_before = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _unavailable(self) -> Overloaded:
        wait_s = max(self._not_before - time.monotonic(), 0.0)
        return Overloaded(
            "the model's own process ended while it computed; it is started again",
            retry_after_s=max(math.ceil(wait_s), 1),
        )


@cache
def _warn_once(missing: tuple[str, ...]) -> None:
    log.warning("models' processes are limited but not confined: this machine lacks %s", ", ".join(missing))


def _filter_program() -> bytes:
    """The filter of system calls that a child loads; nothing where this machine has no libseccomp."""
    try:
        return syscalls.filter_program(programs=False)
    except (ImportError, OSError, RuntimeError):
        return b""


def expected_child_bytes(artifact_bytes: int, format: str = "onnx") -> int:
    """What a child with an artifact's session is counted as before it is there to be measured."""
    libraries = TORCH_BYTES if format == "torch-export" else INTERPRETER_BYTES
    return libraries + expected_memory_bytes(artifact_bytes)
