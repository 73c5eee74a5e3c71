"""A version that another Open Inference Protocol server computes (Triton, KServe, MLServer, another OpenClaw).

Its artifact is a descriptor, never code: `{"url": "https://host:port", "model": …, "version": …, "binary": true}`. This
process only ever speaks to servers that the operator listed, by exact host and port, over TLS unless the operator said
otherwise. Redirects are not followed, the environment's proxies are not asked, answers are bounded in size and time,
and credentials come from the operator's file, never from a descriptor.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson

from inference.serving import binary
from inference.serving.artifacts import ArtifactFile, read_artifact
from inference.serving.datatypes import DATATYPES, Tensor, Tensors
from inference.serving.errors import Overloaded
from inference.serving.options import RemoteOptions
from inference.serving.runtime import LoadError, PredictError, rows_are_independent
from inference.serving.signature import Signature, TensorSpec

MAX_DESCRIPTOR_BYTES = 4096
READY_TIMEOUT_S = 3.0
HEADER_LENGTH = "Inference-Header-Content-Length"
# What says that the request was at fault. Everything else is the server, or our standing with it.
CALLERS_FAULT = frozenset({400, 413, 422})

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FIELDS = frozenset({"url", "model", "version", "binary"})


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Where a remote version is. `host` is `name:port`; `binary` says that the server knows binary tensors."""

    url: str
    host: str
    model: str
    version: str = ""
    binary: bool = True

    @classmethod
    def parse(cls, raw: bytes) -> Descriptor:
        """Read a descriptor. Raises ValueError that says what is wrong."""
        try:
            given = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ValueError("a remote version's artifact must be a JSON object") from None
        if not isinstance(given, dict) or not given.keys() <= _FIELDS:
            raise ValueError(
                f"a remote version is described by {', '.join(sorted(_FIELDS))} and nothing else"
            )
        url, version, as_binary = given.get("url"), given.get("version", ""), given.get("binary", True)
        names = [given.get("model"), *([version] if version else [])]
        if not all(isinstance(name, str) and _SEGMENT.fullmatch(name) for name in names):
            raise ValueError("model and version must be plain names: letters, digits, dots, hyphens")
        if type(as_binary) is not bool:
            raise ValueError('"binary" must be true or false')
        host = _host_of(url)
        return cls(str(url).rstrip("/"), host, given["model"], version, as_binary)

    @property
    def path(self) -> str:
        """The version's address on its server."""
        return f"/v2/models/{self.model}" + (f"/versions/{self.version}" if self.version else "")

    def check_allowed(self, options: RemoteOptions) -> None:
        """Raise ValueError unless the operator lets this process speak to the server."""
        if self.host not in options.hosts:
            raise ValueError(f"the operator has not listed {self.host} among the remote inference servers")
        if self.url.startswith("http:") and not options.allow_http:
            raise ValueError(f"{self.host} is reached without TLS, which the operator has not allowed")


class RemoteRuntime:
    """A version on another server. Its calls go one after another, each with all rows that wait."""

    memory_bytes = 0
    computes_here = False
    lanes = 1

    def __init__(self, descriptor: Descriptor, signature: Signature, options: RemoteOptions) -> None:
        self._descriptor = descriptor
        self._signature = signature
        self._max_answer_bytes = options.max_answer_bytes
        self._client = httpx.Client(
            base_url=descriptor.url,
            headers=_authorization(descriptor.host, options.credentials_file),
            timeout=httpx.Timeout(options.timeout_s, connect=READY_TIMEOUT_S),
            verify=ssl.create_default_context(cafile=options.ca_file),
            follow_redirects=False,
            trust_env=False,
        )

    @classmethod
    def load(
        cls, path: ArtifactFile, *, sha256: str, signature: Signature, options: RemoteOptions
    ) -> RemoteRuntime:
        """Check the descriptor, that its server is ready, and that it serves this signature. Raises LoadError."""
        raw = read_artifact(path, sha256=sha256, most_bytes=MAX_DESCRIPTOR_BYTES)
        try:
            descriptor = Descriptor.parse(raw)
            descriptor.check_allowed(options)
            runtime = cls(descriptor, signature, options)
        except (ValueError, OSError) as error:
            raise LoadError(str(error)) from error
        try:
            runtime._check_metadata()
        except BaseException:
            runtime.close()
            raise
        return runtime

    @classmethod
    def describe(cls, descriptor: Descriptor, options: RemoteOptions) -> tuple[list[Any], list[Any]]:
        """What a server says that a version takes and gives. Raises LoadError; ValueError where it may not be asked."""
        descriptor.check_allowed(options)
        runtime = cls(descriptor, Signature({}, {}), options)
        try:
            status, _none, answer = runtime._call("GET", descriptor.path, timeout_s=READY_TIMEOUT_S)
            metadata = orjson.loads(answer) if status == 200 else {}
            tensors = [
                [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in metadata[kind]]
                for kind in ("inputs", "outputs")
            ]
        except Overloaded as error:
            raise LoadError(error.message) from error
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise LoadError(f"{descriptor.host} does not describe {descriptor.path}") from error
        finally:
            runtime.close()
        return tensors[0], tensors[1]

    def predict(self, inputs: Tensors) -> Tensors:
        """Ask the server. Raises PredictError, and Overloaded where it does not answer or refuses us."""
        content, length = self._request(inputs)
        headers = {"Content-Type": "application/octet-stream" if length else "application/json"}
        status, answer_length, answer = self._call(
            "POST",
            f"{self._descriptor.path}/infer",
            content,
            headers | ({HEADER_LENGTH: str(length)} if length else {}),
        )
        if status in CALLERS_FAULT:
            raise PredictError(f"{self._descriptor.host} answered {status}", invalid_input=True)
        if status != 200:
            raise self._unavailable(f"answered {status}")
        try:
            return self._outputs(answer, answer_length)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise PredictError(
                f"{self._descriptor.host} answered something else than was declared: {error}",
                invalid_input=False,
            ) from error

    def rows_are_independent(self) -> bool:
        """Tried out with made-up rows, as with a model of our own."""
        try:
            return rows_are_independent(self.predict, self._signature)
        except Overloaded:
            return False

    def ready(self) -> bool:
        """What the server itself says of the version."""
        try:
            return self._call("GET", f"{self._descriptor.path}/ready", timeout_s=READY_TIMEOUT_S)[0] == 200
        except Overloaded:
            return False

    def close(self) -> None:
        self._client.close()

    def _check_metadata(self) -> None:
        try:
            ready = self.ready()
            status, _none, answer = self._call("GET", self._descriptor.path, timeout_s=READY_TIMEOUT_S)
        except Overloaded as error:
            raise LoadError(error.message) from error
        if not ready or status != 200:
            raise LoadError(f"{self._descriptor.host} says that {self._descriptor.path} is not ready")
        try:
            metadata = orjson.loads(answer)
            for kind, declared in (("inputs", self._signature.inputs), ("outputs", self._signature.outputs)):
                there = {tensor["name"]: tensor["datatype"] for tensor in metadata[kind]}
                wanted = {name: spec.datatype for name, spec in declared.items()}
                if (there if kind == "inputs" else {n: there.get(n) for n in wanted}) != wanted:
                    raise LoadError(f"the remote version's {kind} are {there}, declared are {wanted}")
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise LoadError(
                f"{self._descriptor.host} does not describe the version as the protocol has it"
            ) from error

    def _request(self, inputs: Tensors) -> tuple[bytes, int]:
        """The body, and the length of its JSON part when binary tensors follow (else 0)."""
        described: list[dict[str, Any]] = []
        parts: list[bytes] = []
        for name, tensor in inputs.items():
            datatype = self._signature.inputs[name].datatype
            item: dict[str, Any] = {"name": name, "datatype": datatype, "shape": tensor.shape}
            if self._descriptor.binary:
                parts.append(binary.encode(tensor, datatype))
                item["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                item["data"] = _json_values(tensor, datatype)
            described.append(item)
        request: dict[str, Any] = {
            "inputs": described,
            "outputs": [
                {"name": name, "parameters": {"binary_data": self._descriptor.binary}}
                for name in self._signature.outputs
            ],
        }
        header = orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY)
        return b"".join((header, *parts)), len(header) if parts else 0

    def _outputs(self, answer: bytes, length: int) -> Tensors:
        document = orjson.loads(answer[:length] if length else answer)
        raw, position = memoryview(answer)[length or len(answer) :], 0
        outputs: Tensors = {}
        for item in document["outputs"]:
            spec = self._signature.outputs.get(item["name"])
            if spec is None:
                continue
            shape = tuple(item["shape"])
            if item["datatype"] != spec.datatype or not spec.accepts(shape):
                raise ValueError(f"{item['name']} came as {item['datatype']} {list(shape)}")
            size = (item.get("parameters") or {}).get("binary_data_size")
            if size is None:
                flat = _from_json(item["data"], spec)
            else:
                flat = binary.decode(raw[position : position + size], DATATYPES[spec.datatype], prod(shape))
                position += size
            outputs[spec.name] = flat.reshape(shape)
        return {name: outputs[name] for name in self._signature.outputs}

    def _call(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> tuple[int, int, bytes]:
        """Status, length of the JSON part (0: all of it), and body. Raises Overloaded."""
        timeout = httpx.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s
        answer = bytearray()
        try:
            with self._client.stream(
                method, path, content=content, headers=headers, timeout=timeout
            ) as response:
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > self._max_answer_bytes:
                        raise self._unavailable(f"answered with more than {self._max_answer_bytes} bytes")
                length = response.headers.get(HEADER_LENGTH, "0")
                return response.status_code, int(length) if length.isdigit() else 0, bytes(answer)
        except httpx.HTTPError as error:
            raise self._unavailable(f"does not answer ({type(error).__name__})") from error

    def _unavailable(self, what: str) -> Overloaded:
        return Overloaded(f"the remote inference server {self._descriptor.host} {what}", retry_after_s=2)


def _host_of(url: object) -> str:
    parts = urlsplit(url) if isinstance(url, str) else None
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError('"url" must be https://host:port and nothing more')
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{name}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _authorization(host: str, credentials: Path | None) -> dict[str, str]:
    """The bearer token that the operator's file has for a host, if any. Raises OSError."""
    if credentials is None:
        return {}
    for line in credentials.read_text(encoding="utf-8").splitlines():
        name, _space, token = line.strip().partition(" ")
        if name == host and token:
            return {"Authorization": f"Bearer {token.strip()}"}
    return {}


def _json_values(tensor: Tensor, datatype: str) -> Any:
    flat = tensor.reshape(-1)
    if datatype == "BYTES":
        return [value if isinstance(value, str) else bytes(value).decode() for value in flat]
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise PredictError("JSON knows neither NaN nor infinities", invalid_input=True)
    return flat.astype(DATATYPES[datatype].dtype, copy=False)


def _from_json(data: Any, spec: TensorSpec) -> Tensor:
    if spec.datatype == "BYTES":
        values = np.empty(len(data), dtype=object)
        values[:] = [str(value).encode() for value in data]
        return values
    return np.asarray(data, dtype=DATATYPES[spec.datatype].dtype).reshape(-1)
