"""What `/v2` says about itself, its endpoints and their versions. An endpoint is a "model" in the protocol's words."""

from __future__ import annotations

from typing import Any

from inference.serving.errors import NotReady, ProtocolError
from inference.serving.protocol import EXTENSIONS
from inference.serving.routing import Route, RoutedArm
from inference.serving.statistics import ModelStatistics

NAME = "openclaw"
VERSION = "0.1.0"
PLATFORMS = {
    "onnx": "onnxruntime_onnx",
    "remote": "open_inference_protocol",
    "torch-export": "pytorch_exported_program",
}
BACKENDS = {"onnx": "onnxruntime", "remote": "remote", "torch-export": "pytorch"}

_TRITON_TYPES = {"BYTES": "TYPE_STRING"}


def server() -> dict[str, Any]:
    """The server's own metadata."""
    return {"name": NAME, "version": VERSION, "extensions": list(EXTENSIONS)}


def metadata(route: Route, version: str = "") -> dict[str, Any]:
    """Names, datatypes and shapes, with -1 for what is variable."""
    arm = _arm(route, version).arm
    return {
        "name": route.snapshot.name,
        "versions": list(route.by_version),
        "platform": PLATFORMS[arm.format],
        "inputs": [_tensor(tensor) for tensor in arm.inputs],
        "outputs": [_tensor(tensor) for tensor in arm.outputs],
    }


def configuration(route: Route, version: str = "") -> dict[str, Any]:
    """The part of Triton's model configuration that means something here."""
    routed = _arm(route, version)
    arm, model = routed.arm, routed.model
    # What a loaded version follows: the strictest objective of the endpoints that it stands behind.
    objective_s = model.batcher.objective_s if model is not None else route.snapshot.objective_s
    said = {"latency_objective_ms": {"string_value": f"{1000 * objective_s:g}"}} if objective_s else {}
    return {
        "name": route.snapshot.name,
        "platform": PLATFORMS[arm.format],
        "backend": BACKENDS[arm.format],
        # 0: the dimensions below are all there are, the batch's among them.
        "max_batch_size": 0,
        "input": [_triton_tensor(tensor) for tensor in arm.inputs],
        "output": [_triton_tensor(tensor) for tensor in arm.outputs],
        "parameters": said,
    }


def statistics(route: Route, version: str = "") -> list[dict[str, Any]]:
    """What this process computed per version since it was loaded, as Triton's statistics extension has it."""
    arms = [_arm(route, version)] if version else route.arms
    return [
        {
            "name": route.snapshot.name,
            "version": routed.arm.version,
            **(routed.model.batcher.statistics if routed.model else ModelStatistics()).as_dict(),
        }
        for routed in arms
    ]


def index(route: Route) -> list[dict[str, Any]]:
    """The versions of an endpoint as the model repository extension lists them."""
    return [
        {
            "name": route.snapshot.name,
            "version": routed.arm.version,
            "state": "READY" if routed.model else "UNAVAILABLE",
            "reason": "" if routed.model else "loaded at its first request",
        }
        for routed in route.arms
    ]


def _arm(route: Route, version: str) -> RoutedArm:
    """The version asked for, or the one that gets most of the traffic."""
    if version:
        if version not in route.by_version:
            raise ProtocolError(404, f'endpoint "{route.snapshot.name}" has no version "{version}"')
        return route.by_version[version]
    if not route.arms:
        raise NotReady(f'endpoint "{route.snapshot.name}" has no version at present')
    return max(route.arms, key=lambda routed: routed.arm.weight)


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    return {"name": tensor["name"], "datatype": tensor["datatype"], "shape": list(tensor["shape"])}


def _triton_tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = tensor["datatype"]
    return {
        "name": tensor["name"],
        "data_type": _TRITON_TYPES.get(datatype, f"TYPE_{datatype}"),
        "dims": list(tensor["shape"]),
    }
