"""Which runtime loads which version: by the artifact's format, and by how this installation wants its models run."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from inference.serving.artifacts import ArtifactFile, again
from inference.serving.isolated import IsolatedRuntime, expected_child_bytes
from inference.serving.lookups import Arm
from inference.serving.options import ServingOptions
from inference.serving.patterns import MEMORY_BYTES, PatternRuntime
from inference.serving.remote import RemoteRuntime
from inference.serving.runtime import LoadError, OnnxRuntime, Runtime, expected_memory_bytes
from inference.serving.signature import Signature

# Artifacts that a trial load has found harmless, remembered by digest.
MAX_TRIED = 10_000


class Loader(Protocol):
    """Opens the artifact of a version. `load` blocks, and is called by one thread at a time."""

    def load(self, arm: Arm, signature: Signature) -> Runtime:
        """The loaded version, warmed up. Raises LoadError."""

    def expected_bytes(self, arm: Arm) -> int:
        """What it will count against the memory budget, before it is loaded."""


class Runtimes:
    """The loader of an installation.

    A version's first load in this process happens in a child with limits (a trial): an artifact that crashes the
    runtime, or takes all memory, ends the child and is refused. Where models are isolated that is the load itself, and
    a torch-exported program always stays there, because this process has no torch.
    """

    def __init__(self, options: ServingOptions | None = None) -> None:
        self._options = options or ServingOptions()
        self._tried: OrderedDict[str, None] = OrderedDict()

    def load(self, arm: Arm, signature: Signature) -> Runtime:
        """Load by format. Raises LoadError."""
        path: ArtifactFile = arm.artifact_path
        options = self._options
        match arm.format:
            case "onnx" if options.isolated:
                return self._isolated(arm, signature)
            case "onnx":
                if options.trial and arm.sha256 not in self._tried:
                    self._isolated(arm, signature).close()
                    path = again(path)
                    self._tried[arm.sha256] = None
                    if len(self._tried) > MAX_TRIED:
                        self._tried.popitem(last=False)
                runtime = OnnxRuntime.load(path, sha256=arm.sha256, signature=signature, options=options.onnx)
                runtime.warm_up()
                return runtime
            case "torch-export":
                return self._isolated(arm, signature)
            case "remote":
                return RemoteRuntime.load(
                    path, sha256=arm.sha256, signature=signature, options=options.remote
                )
            case "patterns":
                return PatternRuntime.load(path, sha256=arm.sha256, signature=signature)
            case unknown:
                raise LoadError(f"no runtime here loads the format {unknown}")

    def expected_bytes(self, arm: Arm) -> int:
        """By the artifact's size; a remote version takes no memory here."""
        if arm.format == "remote":
            return 0
        if arm.format == "patterns":
            return MEMORY_BYTES
        if self._options.isolated or arm.format == "torch-export":
            return expected_child_bytes(arm.size_bytes, arm.format)
        return expected_memory_bytes(arm.size_bytes)

    def _isolated(self, arm: Arm, signature: Signature) -> IsolatedRuntime:
        return IsolatedRuntime.load(
            arm.artifact_path,
            sha256=arm.sha256,
            signature=signature,
            options=self._options.onnx,
            limits=self._options.child,
            format=arm.format,
        )
