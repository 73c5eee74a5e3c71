"""The process that runs one model apart from the site: `python -m inference.serving.child FD LIMIT_BYTES`.

It holds no credentials and no settings, only one end of a socket. It ends when the other end does. What it may use is
limited before the first byte of an artifact is read, and the kernel ends it first when memory runs out.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.serving import framing
from inference.serving.artifacts import ArtifactFile
from inference.serving.runtime import LoadError, OnnxOptions, OnnxRuntime, PredictError
from inference.serving.signature import Signature

if TYPE_CHECKING:
    from inference.serving.torch_runtime import TorchRuntime

MAX_OPEN_FILES = 256
MAX_FILE_BYTES = 1024 * 1024  # A model writes nothing; Python tries out where temporary folders can be made.


def main() -> None:
    descriptor, address_space_bytes = map(int, sys.argv[1:])
    _limit(address_space_bytes)
    with socket.socket(fileno=descriptor) as connection, suppress(framing.Hangup):
        _serve(connection)


def _limit(address_space_bytes: int) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, address_space_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _serve(connection: socket.socket) -> None:
    request, _none = framing.receive(connection)
    signature = Signature.declared(request["inputs"], request["outputs"])
    inherited = request["artifact"]
    try:
        runtime = _load(request, Path(f"/proc/self/fd/{inherited}"), signature)
        runtime.warm_up()
        independent = runtime.rows_are_independent()
    except (LoadError, MemoryError) as error:
        framing.send(connection, {"error": "load", "message": str(error) or "its memory is not enough"})
        return
    os.close(inherited)  # Its pages would stay as long as it is open.
    framing.send(connection, {"rows_are_independent": independent})
    while True:
        _request, inputs = framing.receive(connection, signature.inputs)
        try:
            outputs = runtime.predict(inputs)
        except PredictError as error:
            framing.send(
                connection, {"error": "predict", "message": str(error), "invalid": error.invalid_input}
            )
            continue
        framing.send(connection, {}, outputs, signature.outputs)


def _load(
    request: dict[str, Any], artifact: ArtifactFile, signature: Signature
) -> OnnxRuntime | TorchRuntime:
    threads, digest = request["threads"], request["sha256"]
    if request["format"] == "torch-export":
        try:
            from inference.serving.torch_runtime import TorchRuntime
        except ImportError:
            raise LoadError("torch is not installed here: pip install -r requirements-train.lock") from None
        return TorchRuntime.load(artifact, sha256=digest, signature=signature, threads=threads)
    options = OnnxOptions(tuple(request["providers"]), threads)
    return OnnxRuntime.load(artifact, sha256=digest, signature=signature, options=options)


if __name__ == "__main__":
    main()
