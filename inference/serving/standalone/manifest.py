"""What a folder of the repository says about its endpoint: `endpoint.yaml` (or `config.json`), read strictly.

    versions:
      "1": {weight: 90, sha256: 9f86…}
      "2": {weight: 10, sha256: 60303a…}
    latency_objective_ms: 50
    inputs:  [{name: x, datatype: FP32, shape: [-1, 4]}]
    outputs: [{name: y, datatype: FP32, shape: [-1, 4]}]

Only the versions named here answer. `weight` is in whole percent, and all weights make 100; a lone version needs none.
`sha256` pins the artifact. `latency_objective_ms` is how long a request may wait for its turn, 1000 unless said.
`inputs` and `outputs` go together; without them the signature is read from the artifact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from inference.serving.signature import Signature

FILES = ("endpoint.yaml", "config.json")
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
MAX_FILE_BYTES = 256 * 1024
MAX_VERSIONS = 32
MAX_TENSORS = 64
MAX_RANK = 8

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TOP = {"versions", "inputs", "outputs", "latency_objective_ms"}
_MAX_OBJECTIVE_MS = 600_000
_OF_A_VERSION = {"weight", "sha256"}
_OF_A_TENSOR = {"name", "datatype", "shape"}

Tensors = tuple[dict[str, Any], ...]


class BrokenEndpoint(Exception):
    """The folder of an endpoint cannot be served as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One version as declared. `sha256` is empty where nothing is pinned."""

    version: str
    weight: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An endpoint as declared. Without `inputs` and `outputs` the artifacts say what they take and give."""

    versions: tuple[VersionEntry, ...]
    inputs: Tensors = ()
    outputs: Tensors = ()
    objective_s: float | None = None


def parse_manifest(data: bytes, *, name: str) -> Manifest:
    """Read the file `name`. Raises BrokenEndpoint that says what is wrong."""
    if len(data) > MAX_FILE_BYTES:
        raise BrokenEndpoint(f"{name} is larger than {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(data) if name.endswith(".json") else _yaml(data)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BrokenEndpoint(f"{name} cannot be read: {str(error).partition(chr(10))[0]}") from None
    try:
        return _manifest(document)
    except ValueError as error:
        raise BrokenEndpoint(f"{name}: {error}") from None


def _yaml(data: bytes) -> Any:
    """The document. Aliases are refused: a few lines of them can stand for more than fits into memory."""
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, Loader=yaml.SafeLoader)):
        raise ValueError("aliases are not accepted")
    return yaml.safe_load(data)


def _manifest(document: Any) -> Manifest:
    top = _mapping(document, _TOP, "the file")
    versions = top.get("versions")
    if not isinstance(versions, Mapping) or not 1 <= len(versions) <= MAX_VERSIONS:
        raise ValueError(f'"versions" must name 1 to {MAX_VERSIONS} versions')
    entries = tuple(_version(key, value, alone=len(versions) == 1) for key, value in versions.items())
    if len({entry.version for entry in entries}) < len(entries):
        raise ValueError("a version is named twice")
    if (total := sum(entry.weight for entry in entries)) != 100:
        raise ValueError(f"the weights make {total}, not 100")
    if ("inputs" in top) != ("outputs" in top):
        raise ValueError('"inputs" and "outputs" go together')
    objective_ms = top.get("latency_objective_ms")
    if objective_ms is not None and not (
        type(objective_ms) is int and 1 <= objective_ms <= _MAX_OBJECTIVE_MS
    ):
        raise ValueError(
            f'"latency_objective_ms" must be a whole number of milliseconds from 1 to {_MAX_OBJECTIVE_MS}'
        )
    objective_s = objective_ms / 1000 if objective_ms is not None else None
    if "inputs" not in top:
        return Manifest(entries, objective_s=objective_s)
    inputs, outputs = _tensors(top["inputs"], "inputs"), _tensors(top["outputs"], "outputs")
    Signature.declared(inputs, outputs)
    return Manifest(entries, inputs, outputs, objective_s)


def _version(key: Any, value: Any, *, alone: bool) -> VersionEntry:
    # YAML reads 1.10 as the number 1.1, so a number with a point is no name.
    version = str(key) if isinstance(key, int) and not isinstance(key, bool) else key
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ValueError(f"the version {key!r} must be a name of letters, digits and . + _ -, in quotes")
    entry = _mapping({} if value is None else value, _OF_A_VERSION, f"version {version}")
    weight = entry.get("weight", 100 if alone else 0)
    if type(weight) is not int or not 0 <= weight <= 100:
        raise ValueError(f"the weight of version {version} must be a whole number of percent")
    digest = entry.get("sha256", "")
    if "sha256" in entry and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise ValueError(f"the sha256 of version {version} must be 64 lower-case hexadecimal digits")
    return VersionEntry(version, weight, digest)


def _tensors(value: Any, kind: str) -> Tensors:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TENSORS:
        raise ValueError(f'"{kind}" must be a list of 1 to {MAX_TENSORS} tensors')
    tensors: list[dict[str, Any]] = []
    for item in value:
        tensor = _mapping(item, _OF_A_TENSOR, f'a tensor of "{kind}"')
        name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
        if not isinstance(name, str) or not 1 <= len(name) <= 200 or name in {t["name"] for t in tensors}:
            raise ValueError(f'each of "{kind}" needs a name of its own')
        if not isinstance(datatype, str):
            raise ValueError(f"{name} has no datatype")
        if (
            not isinstance(shape, list)
            or not 1 <= len(shape) <= MAX_RANK
            or not all(type(size) is int and (size == -1 or size > 0) for size in shape)
        ):
            raise ValueError(
                f"the shape of {name} must be a list of 1 to {MAX_RANK} positive whole numbers or -1"
            )
        tensors.append({"name": name, "datatype": datatype, "shape": shape})
    return tuple(tensors)


def _mapping(value: Any, allowed: set[str], where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping")
    unknown = sorted(str(key) for key in value if key not in allowed)
    if unknown:
        raise ValueError(
            f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(sorted(allowed))}"
        )
    return value
