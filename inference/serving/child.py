"""The process that runs one model apart from the site: `python -m inference.serving.child FD FILTER BYTES FOLDER`.

It holds no credentials and no settings, only one end of a socket. It ends when the other end does. What it may use is
limited before the first byte of an artifact is read, and the kernel ends it first when memory runs out. Before that
byte it also gives up the kernel's calls for sockets, processes and debugging (seccomp), and every file but the
interpreter, the libraries and an empty `FOLDER` (Landlock): who takes it over through an artifact finds nothing, and
nobody to tell.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.confinement import landlock, syscalls
from inference.serving import framing
from inference.serving.artifacts import ArtifactFile
from inference.serving.runtime import LoadError, OnnxOptions, OnnxRuntime, PredictError
from inference.serving.signature import Signature

if TYPE_CHECKING:
    from inference.serving.torch_runtime import TorchRuntime

MAX_OPEN_FILES = 256
MAX_FILE_BYTES = 1024 * 1024  # A model writes nothing; Python tries out where temporary folders can be made.


# What the libraries look at to choose their kernels, and the process itself; not other processes.
LOOKED_AT = (
    "/etc/ld.so.cache",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
)
SYSTEM_LIBRARIES = ("/usr", "/lib", "/lib64", "/opt/nvidia")


def main() -> None:
    descriptor, filter_descriptor, address_space_bytes = map(int, sys.argv[1:4])
    folder = Path(sys.argv[4])
    with open(filter_descriptor, "rb") as file:
        filter_program = file.read()
    # A socket finds out of what kind it is by calls that are given up next.
    with socket.socket(fileno=descriptor) as connection, suppress(framing.Hangup):
        _limit(address_space_bytes)
        _serve(connection, missing=_confine(folder, filter_program))


def _confine(folder: Path, filter_program: bytes) -> list[str]:
    """Give up what a model does not need. Returns what this machine does not have for that, and why."""
    tempfile.tempdir = str(folder)
    missing = []
    root = Path(__file__).parents[2]
    code = [root / name for name in ("governance", "inference")]
    # Never the folder that all of it is in, which may have the site's own data beside the code.
    paths = (Path(path) for path in sys.path[1:] if os.path.isdir(path))
    installed = {Path(sys.prefix), Path(sys.base_prefix), *(path for path in paths if path != root)}
    system = map(Path, (*SYSTEM_LIBRARIES, *LOOKED_AT))
    try:
        landlock.confine_this_process(readable=[*code, *installed, *system], writable=[folder])
    except landlock.Unavailable as error:
        missing.append(f"Landlock ({error})")
    try:
        syscalls.load(filter_program)
    except OSError as error:
        missing.append(f"seccomp ({error})")
    return missing


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


def _serve(connection: socket.socket, *, missing: list[str]) -> None:
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
    framing.send(connection, {"rows_are_independent": independent, "unconfined": missing})
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
