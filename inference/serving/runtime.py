"""Runtimes: a loaded model version that turns tensors into tensors. ONNX Runtime is the serving runtime.

torch is never imported here: an artifact is data, not code. What ONNX cannot express is computed by `torch_runtime`,
in a process of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from inference.serving.artifacts import ArtifactFile, read_artifact
from inference.serving.artifacts import LoadError as LoadError
from inference.serving.datatypes import DATATYPES, Tensor, Tensors
from inference.serving.signature import Signature

# A session holds the graph's weights, packed once more for its kernels, and an arena for what lies between.
MEMORY_FACTOR = 2
SESSION_BYTES = 4 * 1024 * 1024
MAX_LANES = 4

ONNX_DATATYPES = {
    "tensor(bool)": "BOOL",
    **{f"tensor(int{bits})": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class PredictError(Exception):
    """A loaded model failed on an input. `invalid_input` says that the values are at fault, not the model."""

    def __init__(self, message: str, *, invalid_input: bool) -> None:
        super().__init__(message)
        self.invalid_input = invalid_input


class Runtime(Protocol):
    """One loaded model version. `predict` may be called from any thread, by `lanes` of them at once.

    `memory_bytes` is what it counts against this machine's memory budget; `computes_here` is false where another
    machine does the work.
    """

    memory_bytes: int
    computes_here: bool
    lanes: int

    def predict(self, inputs: Tensors) -> Tensors:
        """Compute every output. Raises PredictError."""

    def rows_are_independent(self) -> bool:
        """Whether a batch gives each of its rows what the row gets alone."""

    def ready(self) -> bool:
        """Whether it would answer now. May block for a moment."""

    def close(self) -> None:
        """Give back the memory."""


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """The execution providers to try in this order, all of which must be there, and the threads of one session."""

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    threads: int = 1

    @property
    def lanes(self) -> int:
        """How many runs there may be at once: as many as the cores have room for, `MAX_LANES` at most.

        A run on another device fills it; a second one there would only take its memory.
        """
        if self.providers != ("CPUExecutionProvider",):
            return 1
        return max(min((os.cpu_count() or 1) // self.threads, MAX_LANES), 1)


ON_ONE_CPU_THREAD = OnnxOptions()


class OnnxRuntime:
    """An ONNX Runtime session, by default on one CPU thread, which does not spin while it waits."""

    computes_here = True

    def __init__(
        self, session: ort.InferenceSession, signature: Signature, memory_bytes: int = 0, lanes: int = 1
    ) -> None:
        self.memory_bytes = memory_bytes
        self.lanes = lanes
        self._session: Any = session
        self._signature = signature
        self._outputs = list(signature.outputs)

    @classmethod
    def load(
        cls,
        path: ArtifactFile,
        *,
        sha256: str,
        signature: Signature,
        options: OnnxOptions = ON_ONE_CPU_THREAD,
    ) -> OnnxRuntime:
        """Load what has exactly this digest and this signature. Raises LoadError."""
        return cls.of(read_artifact(path, sha256=sha256), signature=signature, options=options)

    @classmethod
    def of(cls, artifact: bytes, *, signature: Signature, options: OnnxOptions) -> OnnxRuntime:
        """A session of a graph whose digest was checked. Raises LoadError."""
        with tempfile.TemporaryDirectory(prefix="openclaw-no-external-data-") as empty:
            settings = ort.SessionOptions()
            settings.intra_op_num_threads = options.threads
            settings.inter_op_num_threads = 1
            settings.log_severity_level = 4  # failures are raised, and logged here
            settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
            settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
            # Tensors kept in other files would escape the digest: there is nothing to be found where ORT looks.
            settings.add_session_config_entry("session.model_external_initializers_file_folder_path", empty)
            try:
                session = ort.InferenceSession(artifact, settings, providers=list(options.providers))
            except Exception as error:
                raise LoadError(f"ONNX Runtime cannot load the artifact: {str(error)[:300]}") from error
        # ONNX Runtime drops a provider that does not come up, with no more than a line in its log.
        if missing := [name for name in options.providers if name not in session.get_providers()]:
            raise LoadError(f"the execution provider {missing[0]} did not come up on this machine")
        _check_signature(session, signature)
        return cls(session, signature, expected_memory_bytes(len(artifact)), options.lanes)

    def predict(self, inputs: Tensors) -> Tensors:
        feeds = {name: _text(tensor) if tensor.dtype.hasobject else tensor for name, tensor in inputs.items()}
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        except InvalidArgument as error:
            raise PredictError(str(error), invalid_input=True) from error
        except Exception as error:
            raise PredictError(str(error), invalid_input=False) from error

    def warm_up(self) -> None:
        """Compute one row of made-up values, so that the first caller does not wait for what is set up lazily.

        A graph may refuse made-up values (an index out of its table), which says nothing about real ones.
        """
        with suppress(PredictError):
            self.predict(made_up_row(self._signature))

    def rows_are_independent(self) -> bool:
        """Tried out with made-up rows."""
        return rows_are_independent(self.predict, self._signature)

    def ready(self) -> bool:
        return True

    def close(self) -> None:
        self._session = None


def expected_memory_bytes(artifact_bytes: int) -> int:
    """What a session of an artifact is counted as. An estimate by size: other threads allocate while one loads, so a
    difference of resident memory would say little about a small model."""
    return MEMORY_FACTOR * artifact_bytes + SESSION_BYTES


def made_up_row(signature: Signature) -> Tensors:
    """One row of random values, always the same."""
    return _row(np.random.default_rng(0), signature)


def rows_are_independent(predict: Callable[[Tensors], Tensors], signature: Signature) -> bool:
    """Try it: two different rows together must give what each gives alone.

    A graph may have a variable first dimension and still mix rows (a softmax over the wrong axis). Such a model is
    never batched across callers.
    """
    if not signature.rows_are_variable:
        return False
    generator = np.random.default_rng(0)
    rows = [_row(generator, signature) for _ in range(2)]
    try:
        together = predict({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
        alone = [predict(row) for row in rows]
    except PredictError:
        return False
    return all(
        len(tensor) == 2 and all(_same(tensor[i : i + 1], alone[i][name]) for i in range(2))
        for name, tensor in together.items()
    )


def _row(generator: np.random.Generator, signature: Signature) -> Tensors:
    return {name: _sample(generator, spec.datatype, spec.shape) for name, spec in signature.inputs.items()}


def _check_signature(session: ort.InferenceSession, signature: Signature) -> None:
    """Raise LoadError unless the graph has the declared names, datatypes and ranks."""
    for kind, declared, actual in (
        ("input", signature.inputs, session.get_inputs()),
        ("output", signature.outputs, session.get_outputs()),
    ):
        by_name = {tensor.name: tensor for tensor in actual}
        missing = by_name.keys() - declared.keys() if kind == "input" else declared.keys() - by_name.keys()
        unknown = declared.keys() - by_name.keys()
        if missing or unknown:
            raise LoadError(f"the artifact's {kind}s are {sorted(by_name)}, declared are {sorted(declared)}")
        for name, spec in declared.items():
            tensor = by_name[name]
            datatype = ONNX_DATATYPES.get(tensor.type, tensor.type)
            if datatype != spec.datatype:
                raise LoadError(f"{kind} {name} is {datatype} in the artifact, declared as {spec.datatype}")
            # An exporter may leave an output's shape open; what is known must agree.
            if tensor.shape and not _shapes_agree(tensor.shape, spec.shape):
                raise LoadError(
                    f"{kind} {name} is {tensor.shape} in the artifact, declared as {list(spec.shape)}"
                )


def _shapes_agree(actual: list[int | str | None], declared: tuple[int, ...]) -> bool:
    """A size that the graph fixes must be declared; one that it leaves open may be declared as anything."""
    return len(actual) == len(declared) and all(
        not isinstance(size, int) or size == wanted for size, wanted in zip(actual, declared, strict=True)
    )


def _sample(generator: np.random.Generator, datatype: str, shape: tuple[int, ...]) -> Tensor:
    size = (1, *(1 if dimension == -1 else dimension for dimension in shape[1:]))
    if datatype == "BYTES":
        tensor = np.empty(size, dtype=object)
        tensor[...] = str(generator.integers(10)).encode()
        return tensor
    dtype = DATATYPES[datatype].dtype
    return (
        generator.random(size).astype(dtype)
        if dtype.kind == "f"
        else generator.integers(0, 2, size).astype(dtype)
    )


def _same(left: Tensor, right: Tensor) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind == "f":
        # A batch may take another kernel than a single row, so the last digits may differ.
        return bool(np.allclose(left, right, rtol=1e-2, atol=1e-3, equal_nan=True))
    return bool(np.array_equal(left, right))


def _text(tensor: Tensor) -> Tensor:
    """BYTES as ONNX Runtime's strings. Raises PredictError when they are no UTF-8."""
    text = np.empty(tensor.size, dtype=object)
    try:
        text[:] = [value if isinstance(value, str) else value.decode() for value in tensor.reshape(-1)]
    except UnicodeDecodeError as error:
        raise PredictError("the model takes UTF-8 text", invalid_input=True) from error
    return text.reshape(tensor.shape)
