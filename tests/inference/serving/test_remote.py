"""Versions that another server computes: by a real server of the protocol, and by servers that misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.serving.errors import Overloaded
from inference.serving.options import RemoteOptions
from inference.serving.remote import Descriptor, RemoteRuntime
from inference.serving.runtime import LoadError, PredictError
from inference.serving.signature import Signature
from tests.factories import onnx_models
from tests.factories.onnx_models import ArmStub
from tests.inference.serving import fake_site_values as site

ROW = {"x": np.array([[1, 2, 3, 4]], dtype=np.float32)}


def remote(folder: Path, like: ArmStub, **descriptor: Any) -> ArmStub:
    """A version with the signature of another, computed elsewhere."""
    raw = json.dumps(descriptor).encode()
    path = folder / "descriptor"
    path.write_bytes(raw)
    return replace(like, artifact_path=path, sha256=hashlib.sha256(raw).hexdigest(), format="remote")


def options(folder: Path, host: str, *, token: str = site.TOKEN, **changes: Any) -> RemoteOptions:
    file = folder / "credentials"
    file.write_text(f"elsewhere:443 other\n{host} {token}\n")
    return RemoteOptions(frozenset({host}), file, allow_http=True, **changes)


def load(arm: ArmStub, given: RemoteOptions) -> RemoteRuntime:
    signature = Signature.declared(arm.inputs, arm.outputs)
    return RemoteRuntime.load(arm.artifact_path, sha256=arm.sha256, signature=signature, options=given)


@pytest.mark.parametrize("binary", [True, False])
def test_another_server_computes(served: str, tmp_path: Path, binary: bool) -> None:
    kinds = [name for name in site.DATATYPES if binary or name != "FP16"]
    arm = remote(
        tmp_path,
        onnx_models.identity(tmp_path, *site.DATATYPES),
        url=f"http://{served}",
        model="every-type",
        binary=binary,
    )
    runtime = load(arm, options(tmp_path, served))
    assert runtime.ready()
    assert runtime.rows_are_independent()
    sent = {
        f"in_{name}": np.array([[b"chat", "été".encode()]], dtype=object)
        if name == "BYTES"
        else np.array([[1, 0]]).astype(site_dtype(name))
        for name in site.DATATYPES
    }
    answer = runtime.predict(sent)
    assert all(np.array_equal(answer[f"out_{name}"], sent[f"in_{name}"]) for name in kinds)
    runtime.close()


def site_dtype(name: str) -> Any:
    from inference.serving.datatypes import DATATYPES

    return DATATYPES[name].dtype


def test_a_named_version_and_an_input_at_fault(served: str, tmp_path: Path) -> None:
    affine, table = onnx_models.affine(tmp_path), onnx_models.lookup_table(tmp_path)
    arm = remote(tmp_path, affine, url=f"http://{served}/", model="split", version="3.0.0")
    runtime = load(arm, options(tmp_path, served))
    assert runtime.predict(ROW)["y"].tolist() == [[3, 6, 9, 12]]
    runtime.close()
    runtime = load(remote(tmp_path, table, url=f"http://{served}", model="table"), options(tmp_path, served))
    with pytest.raises(PredictError) as caught:
        runtime.predict({"i": np.array([7])})
    assert caught.value.invalid_input
    runtime.close()


def test_what_the_operator_did_not_allow_is_not_spoken_to(served: str, tmp_path: Path) -> None:
    arm = remote(tmp_path, onnx_models.affine(tmp_path), url=f"http://{served}", model="double")
    allowed = options(tmp_path, served)
    for given, said in (
        (RemoteOptions(), "has not listed"),
        (replace(allowed, hosts=frozenset({"127.0.0.1:1"})), "has not listed"),
        (replace(allowed, allow_http=False), "without TLS"),
        (options(tmp_path, served, token=site.STRANGER), "not ready"),
        (replace(allowed, credentials_file=tmp_path / "gone"), "No such file"),
    ):
        with pytest.raises(LoadError, match=said):
            load(arm, given)


def test_a_version_that_is_not_as_declared_is_refused(served: str, tmp_path: Path) -> None:
    allowed = options(tmp_path, served)
    arm = remote(tmp_path, onnx_models.affine(tmp_path), url=f"http://{served}", model="table")
    with pytest.raises(LoadError, match="inputs are"):
        load(arm, allowed)
    for model in ("nothing", "tampered"):
        with pytest.raises(LoadError, match="not ready"):
            load(remote(tmp_path, arm, url=f"http://{served}", model=model), allowed)


@pytest.mark.parametrize(
    ("descriptor", "said"),
    [
        (b"no json", "must be a JSON object"),
        (b"[]", "nothing else"),
        (b'{"url": "https://h", "model": "m", "token": "t"}', "nothing else"),
        (b'{"url": "https://h", "model": "../admin"}', "plain names"),
        (b'{"url": "https://h", "model": "m", "version": "1/../.."}', "plain names"),
        (b'{"url": "https://h"}', "plain names"),
        (b'{"url": "https://h", "model": "m", "binary": 1}', "true or false"),
        (b'{"url": "file:///etc/passwd", "model": "m"}', "nothing more"),
        (b'{"url": "https://user:word@h", "model": "m"}', "nothing more"),
        (b'{"url": "https://h/path", "model": "m"}', "nothing more"),
        (b'{"url": "https://h?x=1", "model": "m"}', "nothing more"),
        (b'{"url": 7, "model": "m"}', "nothing more"),
    ],
)
def test_a_descriptor_is_read_strictly(descriptor: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Descriptor.parse(descriptor)


def test_a_host_is_named_with_its_port() -> None:
    for url, host in (
        ("https://triton.internal", "triton.internal:443"),
        ("http://triton.internal:8000/", "triton.internal:8000"),
        ("https://[::1]:8443", "[::1]:8443"),
    ):
        assert Descriptor.parse(json.dumps({"url": url, "model": "m"}).encode()).host == host


# --- Servers that misbehave ----------------------------------------------------------------------------------------

METADATA = {
    "name": "m",
    "platform": "p",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
}
Y = {"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


@contextmanager
def rogue(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server whose model is ready and whose answers to inference are these. Yields `host:port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, b"{}" if self.path.endswith("/ready") else json.dumps(METADATA).encode(), {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(status, body, headers)

        def _answer(self, code: int, content: bytes, more: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in more.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(*outputs: Any) -> bytes:
    return json.dumps({"model_name": "m", "outputs": outputs}).encode()


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (302, b"", {"Location": "http://169.254.169.254/latest"}, Overloaded),
        (401, b"{}", {}, Overloaded),
        (503, b"{}", {}, Overloaded),
        (400, b'{"error": "no"}', {}, PredictError),
        (200, b"no json", {}, PredictError),
        (200, answer(), {}, PredictError),
        (200, answer(Y | {"datatype": "FP64"}), {}, PredictError),
        (200, answer(Y | {"shape": [1, 5]}), {}, PredictError),
        (200, answer(Y | {"data": [1, 2]}), {}, PredictError),
        (200, answer(Y | {"data": ["a", None, [], {}]}), {}, PredictError),
        (200, answer({**Y, "parameters": {"binary_data_size": 2**60}}), {}, PredictError),
        (200, answer(Y), {"Inference_Header_Content_Length": "7"}, PredictError),
        (200, b" " * 5000 + answer(Y), {}, Overloaded),
    ],
)
def test_a_rogue_server_gets_nowhere(
    tmp_path: Path, status: int, body: bytes, headers: dict[str, str], kind: type[Exception]
) -> None:
    with rogue(status, body, **headers) as host:
        arm = remote(tmp_path, onnx_models.affine(tmp_path), url=f"http://{host}", model="m")
        runtime = load(arm, options(tmp_path, host, max_answer_bytes=4096))
        with pytest.raises(kind):
            runtime.predict(ROW)
        runtime.close()


def test_a_server_that_is_gone_is_not_ready_and_comes_back(tmp_path: Path) -> None:
    with rogue(200, answer(Y)) as host:
        arm = remote(tmp_path, onnx_models.affine(tmp_path), url=f"http://{host}", model="m")
        runtime = load(arm, options(tmp_path, host))
        assert runtime.predict(ROW)["y"].tolist() == [[1, 2, 3, 4]]
    assert not runtime.ready()
    with pytest.raises(Overloaded) as caught:
        runtime.predict(ROW)
    assert caught.value.status == 503
    assert b"retry-after" in dict(caught.value.headers)
    with pytest.raises(LoadError, match="does not answer"):
        load(arm, options(tmp_path, host))
    runtime.close()
