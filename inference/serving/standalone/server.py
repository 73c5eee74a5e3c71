"""The model server's process: granian with the inference application, Prometheus metrics on a port of their own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from prometheus_client import start_http_server

from inference.serving.application import InferenceApplication
from inference.serving.bearer import BearerOnly
from inference.serving.errors import ProtocolError
from inference.serving.http import Receive, Scope, Send, discard_body, respond_error
from inference.serving.pool import ModelPool
from inference.serving.predictions import Limits
from inference.serving.standalone.lookups import Anyone, FileEar, RepositoryLookups
from inference.serving.standalone.repository import Repository
from inference.serving.standalone.tokens import TokenFile, TokenFileError
from inference.serving.standalone.watcher import RepositoryWatcher

log = logging.getLogger(__name__)

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ModelServerError(Exception):
    """The server cannot be started like this; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a model server runs. Times in seconds; a `metrics_port` of 0 means no metrics.

    `tokens` names the token file; without one `allow_anonymous` must say that everybody may call. With a certificate
    and its key (both PEM) the models are served by TLS 1.3 alone; both are read once.
    """

    repository: Path
    tokens: Path | None = None
    allow_anonymous: bool = False
    require_digests: bool = False
    tolerate_broken: bool = False
    host: str = "127.0.0.1"
    port: int = 8080
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    poll_s: float = 2.0
    drain_s: int = 60
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Raises ModelServerError where it could not or should not start."""
        if self.tokens is None and not self.allow_anonymous:
            raise ModelServerError(
                "No token file: nobody could call this server. Name one with --tokens (make a token with "
                "`openclaw model-server token`), or say --allow-anonymous if everybody who reaches the port may call."
            )
        if self.tokens is not None and self.allow_anonymous:
            raise ModelServerError("--tokens and --allow-anonymous exclude each other.")
        if self.tokens is not None:
            try:
                TokenFile(self.tokens)
            except TokenFileError as error:
                raise ModelServerError(f"{error}.") from None
        if not self.repository.is_dir():
            raise ModelServerError(f"{self.repository} is no folder that can be read.")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ModelServerError("--tls-certificate and --tls-key go together.")
        if self.metrics_port == self.port:
            raise ModelServerError("Metrics need a port of their own.")


class ModelServer:
    """The ASGI application: `/v2` to the inference application, nothing else. Its parts are made at its start-up."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._inference: InferenceApplication | None = None
        self._metrics: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the server's life."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._inference is not None and _is_inference(scope["path"]):
            await self._inference(scope, receive, send)
        else:
            await discard_body(receive, limit=self._options.limits.body_bytes)
            await respond_error(send, ProtocolError(404, f"there is no {scope['path']} here; see GET /v2"))

    async def startup(self) -> None:
        """Begin to read and to serve. Raises TokenFileError, ModelServerError."""
        options = self._options
        tokens = TokenFile(options.tokens) if options.tokens is not None else None
        if tokens is None:
            log.warning(
                "ANYBODY WHO REACHES THIS SERVER MAY CALL EVERY MODEL: it was started with --allow-anonymous"
            )
        pool = ModelPool()
        watcher = RepositoryWatcher(
            Repository(options.repository, require_digests=options.require_digests),
            pool,
            tolerate_broken=options.tolerate_broken,
        )
        self._inference = InferenceApplication(
            RepositoryLookups(watcher, tokens),
            pool=pool,
            listener=FileEar(watcher, tokens, poll_s=options.poll_s),
            limits=options.limits,
            prover=BearerOnly() if tokens is not None else Anyone(),
        )
        if options.metrics_port:
            self._metrics = _serve_metrics(options)
        await self._inference.startup()

    async def shutdown(self) -> None:
        """Finish what was accepted and give everything back."""
        inference, self._inference = self._inference, None
        if inference is not None:
            await inference.shutdown()
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.startup()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


def build(options: Options) -> Application:
    """The application of one worker process, with logs on standard error."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    return ModelServer(options)


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; then take no more connections, answer what was accepted, and return.

    One process: it holds the models once. Raises ModelServerError.
    """
    options.check()
    try:
        server = Granian(
            "inference.serving.standalone.server:build",
            address=options.host,
            port=options.port,
            interface=Interfaces.ASGI,
            workers=1,
            websockets=False,
            log_access=False,
            workers_kill_timeout=options.drain_s,
            ssl_cert=options.tls_certificate,
            ssl_key=options.tls_key,
        )
    except OSError as error:  # ssl.SSLError is one
        raise ModelServerError(f"The certificate or its key cannot be used: {error}.") from error
    try:
        server.serve(target_loader=partial(build, options), wrap_loader=False)
    except RuntimeError as error:  # what granian raises when it gets no socket
        raise ModelServerError(f"Cannot serve on {options.host}:{options.port}: {error}.") from error


def _serve_metrics(options: Options) -> Any:
    """The server of the metrics, in a thread of its own."""
    try:
        server, _thread = start_http_server(options.metrics_port, options.metrics_host)
    except OSError as error:
        where = f"{options.metrics_host}:{options.metrics_port}"
        raise ModelServerError(f"Cannot serve metrics on {where}: {error.strerror}.") from error
    return server


def _is_inference(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")
