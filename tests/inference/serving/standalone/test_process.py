"""`openclaw model-server` as a process of its own, with nothing of the platform around it, and the stock client."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import requires
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tritonclient.http.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from inference.serving.standalone.tokens import digest_of, new_token
from openclaw_site.cli.model_server import model_server
from tests.factories import onnx_models
from tests.inference.serving.conftest import ROOT, free_port, wait_until_ready
from tests.inference.serving.standalone.repositories import place, put

SLOW_ROWS = 40


@dataclass(frozen=True)
class Live:
    """A running server."""

    process: subprocess.Popen[bytes]
    repository: Path
    address: str
    metrics: str
    token: str
    log: Path

    def auth(self) -> dict[str, str]:
        """Made anew, because the client writes into the headers that it is given."""
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The server for most of this file."""
    with started(tmp_path_factory.mktemp("model-server")) as live:
        yield live


@contextmanager
def started(folder: Path, *options: str, tls: ssl.SSLContext | None = None) -> Iterator[Live]:
    """The server, started by the command with an environment in which there is no database."""
    repository = folder / "repository"
    put(repository, "double", "1", factor=2)
    (repository / "slow" / "1").mkdir(parents=True)
    place(onnx_models.slow(repository / "slow" / "1"))
    token, line = new_token(name="caller", endpoints=["double", "slow"])
    (folder / "tokens").write_text(line)
    port, metrics = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "openclaw_site.cli", "model-server", f"--repository={repository}"),
        *(f"--tokens={folder / 'tokens'}", f"--port={port}", f"--metrics-port={metrics}", "--poll=0.05"),
        *options,
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            scheme = "https" if tls else "http"
            url = f"{scheme}://127.0.0.1:{port}/v2/health/ready"
            wait_until_ready(process, url, folder / "log", verify=tls or True)
            yield Live(
                process, repository, f"127.0.0.1:{port}", f"127.0.0.1:{metrics}", token, folder / "log"
            )
        finally:
            process.terminate()
            process.wait(20)


class Seen:
    """The versions that answered."""

    def __init__(self) -> None:
        self.newest = ""
        self.events: dict[str, asyncio.Event] = {}

    def event(self, version: str) -> asyncio.Event:
        """Set once the version has answered."""
        return self.events.setdefault(version, asyncio.Event())

    def tell(self, version: str) -> None:
        self.newest = version
        self.event(version).set()


def x_input(*rows: float, width: int = 4) -> InferInput:
    array = np.array([[row] * width for row in rows], dtype=np.float32)
    return InferInput("x", list(array.shape), "FP32").set_data_from_numpy(array)


async def test_the_stock_client_is_answered_and_a_strange_token_refused(live: Live):
    async with InferenceServerClient(live.address) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("double", headers=live.auth())
        metadata = await client.get_model_metadata("double", headers=live.auth())
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        result = await client.infer("double", [x_input(1, 3)], headers=live.auth())
        assert result.as_numpy("y")[:, 0].tolist() == [2, 6]
        for headers in ({}, {"Authorization": "Bearer guessed"}):
            with pytest.raises(InferenceServerException, match="token"):
                await client.infer("double", [x_input(1)], headers=headers)


async def test_metrics_are_on_a_port_of_their_own(live: Live):
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{live.metrics}/metrics")).text
        assert "openclaw_model_server_endpoints 2.0" in text
        assert "openclaw_model_server_tokens 1.0" in text
        assert live.token not in text
        assert (await client.get(f"http://{live.address}/metrics")).status_code == 404


async def test_versions_are_exchanged_under_load_without_a_failed_request(live: Live):
    """Each exchange also takes the former version's files away."""
    seen = Seen()
    last = "6"

    async def call() -> None:
        async with InferenceServerClient(live.address) as client:
            while seen.newest != last:
                result = await client.infer("double", [x_input(1)], headers=live.auth())
                version = result.get_response()["model_version"]
                # Version 1 doubles; version n gives n.
                assert result.as_numpy("y")[0, 0] == (2 if version == "1" else int(version))
                seen.tell(version)

    async with asyncio.timeout(60):
        callers = [asyncio.create_task(call()) for _ in range(4)]
        for version in range(2, int(last) + 1):
            put(live.repository, "double", str(version), factor=version)
            await seen.event(str(version)).wait()
            shutil.rmtree(live.repository / "double" / str(version - 1))
        await asyncio.gather(*callers)
    assert set(seen.events) >= {str(version) for version in range(2, int(last) + 1)}


async def test_sigterm_ends_it_after_the_last_answer(live: Live):
    """Last in this file: the server is gone after it."""
    async with httpx.AsyncClient(
        base_url=f"http://{live.address}", headers=live.auth(), timeout=60
    ) as client:
        data = [1.0] * SLOW_ROWS
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [SLOW_ROWS, 1], "data": data}]}
        calls = [asyncio.create_task(client.post("/v2/models/slow/infer", json=body)) for _ in range(4)]
        metrics = f"http://{live.metrics}/metrics"
        while not re.search(r"^openclaw_inference_queue_depth [1-9]", (await client.get(metrics)).text, re.M):
            assert not any(call.done() for call in calls), "all were answered before the signal"
        live.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * len(calls)
        assert await asyncio.to_thread(live.process.wait, 30) == 0
        with pytest.raises(httpx.TransportError):
            await client.get("/v2/health/live")
    log = live.log.read_text()
    assert "Traceback" not in log
    assert live.token not in log


async def test_it_speaks_tls_itself(tmp_path: Path):
    certificate, key = self_signed(tmp_path)
    trusted = ssl.create_default_context(cafile=certificate)
    options = (f"--tls-certificate={certificate}", f"--tls-key={key}")
    with started(tmp_path, *options, tls=trusted) as live:
        async with InferenceServerClient(live.address, ssl=True, ssl_context=trusted) as client:
            result = await client.infer("double", [x_input(3)], headers=live.auth())
            assert result.as_numpy("y")[0, 0] == 6
        async with httpx.AsyncClient(verify=trusted) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://{live.address}/v2/health/live")


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "model server")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tls.key").write_bytes(private)
    return folder / "tls.crt", folder / "tls.key"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "Name the folder"), (("--repository=.",), "No token file: nobody could call this server")],
)
def test_the_command_says_what_is_missing(arguments: tuple[str, ...], said: str):
    ran = CliRunner().invoke(model_server, arguments)
    assert ran.exit_code != 0
    assert said in ran.output


def test_the_command_makes_tokens():
    ran = CliRunner().invoke(model_server, ["token", "billing", "--endpoint=double", "--until=2027-06-30"])
    token = ran.stderr.split()[-1]
    assert ran.stdout == f"{digest_of(token)} billing double 2027-06-30\n"
    assert CliRunner().invoke(model_server, ["token", "no name"]).exit_code == 2


def test_what_its_image_leaves_out_it_does_not_need():
    """Only what `deploy/model-server/requirements.in` brings can be imported here, and Django has no settings."""
    lines = (ROOT / "deploy/model-server/requirements.in").read_text().splitlines()
    there = closure([Requirement(line) for line in lines if line and not line.startswith("#")])
    program = f"""
import sys
from importlib.metadata import packages_distributions
there, distributions = {there!r}, packages_distributions()
class LeftOut:
    def find_spec(self, name, path=None, target=None):
        owners = {{owner.lower().replace("_", "-") for owner in distributions.get(name.partition(".")[0], ())}}
        if owners and not owners & there:
            raise ModuleNotFoundError(name + " is not in the image", name=name)
sys.meta_path.insert(0, LeftOut())
import openclaw_site.cli.model_server, inference.serving.standalone.server, granian.server.mp, uvloop
from django.conf import settings
assert not settings.configured
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def closure(wanted: list[Requirement]) -> set[str]:
    """The distributions that come with these, and our own."""
    found, todo = {"openclaw"}, [(requirement.name, {"", *requirement.extras}) for requirement in wanted]
    while todo:
        name, extras = todo.pop()
        found.add(canonicalize_name(name))
        for needed in map(Requirement, requires(name) or ()):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                todo.append((needed.name, {"", *needed.extras}))
    return found
