"""How this installation serves: read once from the site's settings, and given to whatever needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.serving.runtime import OnnxOptions

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What a child process with a model may use. `address_space_bytes` counts all that it maps, used or not."""

    address_space_bytes: int = 8 * 1024 * MIB
    run_timeout_s: float = 60.0
    load_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """The inference servers that versions may point at: `host:port`, exactly; none by default.

    `pools` says in which compute pool a host stands; what the placement rules keep out of that pool is not sent there.
    `credentials_file` has one line for each: `host:port token`. `allow_http` is for servers on a network of their own.
    """

    hosts: frozenset[str] = frozenset()
    credentials_file: Path | None = None
    ca_file: Path | None = None
    allow_http: bool = False
    timeout_s: float = 30.0
    max_answer_bytes: int = 64 * MIB
    pools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """`isolated`: models compute in child processes. `trial`: a version is loaded and run once in a child process
    before this one loads it. `model_memory_bytes` 0: no budget."""

    onnx: OnnxOptions = field(default_factory=OnnxOptions)
    isolated: bool = False
    trial: bool = True
    child: ChildLimits = field(default_factory=ChildLimits)
    remote: RemoteOptions = field(default_factory=RemoteOptions)
    model_memory_bytes: int = 0
    objective_s: float = 1.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ServingOptions:
        """The setting OPENCLAW_SERVING, as `openclaw_site.config` fills it."""
        return cls(
            onnx=OnnxOptions(
                tuple(provider_name(name) for name in settings["execution_providers"]),
                settings["model_threads"],
            ),
            isolated=settings["isolation"] == "process",
            trial=settings["trial"],
            child=ChildLimits(address_space_bytes=settings["child_memory_mb"] * MIB),
            remote=RemoteOptions(
                hosts=frozenset(entry.partition("=")[0] for entry in settings["remote_hosts"]),
                pools={
                    host: pool
                    for host, _equals, pool in (entry.partition("=") for entry in settings["remote_hosts"])
                    if pool
                },
                credentials_file=settings["remote_credentials_file"],
                ca_file=settings["remote_ca_file"],
                allow_http=settings["remote_allow_http"],
            ),
            model_memory_bytes=settings["model_memory_mb"] * MIB,
            objective_s=settings["latency_objective_ms"] / 1000,
        )


def provider_name(short: str) -> str:
    """`CUDA` as ONNX Runtime spells it: `CUDAExecutionProvider`."""
    return short if short.endswith("ExecutionProvider") else f"{short}ExecutionProvider"
