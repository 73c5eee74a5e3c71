"""`openclaw model-server`: serve a folder of models alone, and make the tokens that its callers send.

Needs neither a database nor settings.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
PORT = click.IntRange(1, 65535)

F = TypeVar("F", bound=Callable[..., object])


def _option(name: str, **attributes: Any) -> Callable[[F], F]:
    """An option that a container may set by an environment variable, too."""
    variable = f"OPENCLAW_MODEL_SERVER_{name.replace('-', '_').upper()}"
    return click.option(f"--{name}", envvar=variable, show_envvar=True, **attributes)


@click.group("model-server", invoke_without_command=True)
@_option("repository", type=FOLDER, help="The folder of models.")
@_option("tokens", type=FILE, help="The file with the digests of the callers' tokens.")
@_option("allow-anonymous", is_flag=True, help="Ask for no token: everybody who reaches the port may call.")
@_option("require-digests", is_flag=True, help="Serve only versions whose sha256 is declared.")
@_option("tolerate-broken", is_flag=True, help="Be ready although an endpoint is broken from the start.")
@_option("host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@_option("port", default=8080, show_default=True, type=PORT, help="The port of the models.")
@_option(
    "tls-certificate",
    type=FILE,
    help="A PEM file with the certificate and those that it stands on: then TLS.",
)
@_option("tls-key", type=FILE, help="The PEM file with its key.")
@_option("metrics-host", default="127.0.0.1", show_default=True, help="The address of the metrics.")
@_option("metrics-port", type=PORT, help="The port of Prometheus metrics; without it there are none.")
@_option(
    "poll", default=2.0, show_default=True, type=click.FloatRange(0.05, 3600), help="Seconds between looks."
)
@_option(
    "drain", default=60, show_default=True, type=click.IntRange(1, 3600), help="Seconds to finish requests."
)
@_option(
    "max-body", default=32, show_default=True, type=click.IntRange(1, 1024), help="Largest request in MiB."
)
@click.pass_context
def model_server(
    context: click.Context,
    repository: Path | None,
    tokens: Path | None,
    allow_anonymous: bool,
    require_digests: bool,
    tolerate_broken: bool,
    host: str,
    port: int,
    tls_certificate: Path | None,
    tls_key: Path | None,
    metrics_host: str,
    metrics_port: int | None,
    poll: float,
    drain: int,
    max_body: int,
) -> None:
    """Serve the models of a folder by the Open Inference Protocol, without the rest of the platform."""
    if context.invoked_subcommand is not None:
        return
    if repository is None:
        raise click.UsageError("Name the folder of models with --repository.")
    # Imported here: making a token needs no runtime.
    from inference.serving.predictions import Limits
    from inference.serving.standalone.server import ModelServerError, Options, serve

    options = Options(
        repository=repository,
        tokens=tokens,
        allow_anonymous=allow_anonymous,
        require_digests=require_digests,
        tolerate_broken=tolerate_broken,
        host=host,
        port=port,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        metrics_host=metrics_host,
        metrics_port=metrics_port or 0,
        poll_s=poll,
        drain_s=drain,
        limits=Limits(body_bytes=max_body * 1024 * 1024),
    )
    try:
        serve(options)
    except ModelServerError as error:
        raise click.ClickException(str(error)) from error


@model_server.command()
@click.argument("name")
@click.option(
    "--endpoint", "endpoints", multiple=True, help="An endpoint that it is good for; without any, all."
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day on which it is good (UTC).")
def token(name: str, endpoints: tuple[str, ...], until: datetime | None) -> None:
    """Make a token for the caller NAME: the token on standard error, its line for the token file on standard output."""
    from inference.serving.standalone.tokens import new_token

    try:
        made, line = new_token(name=name, endpoints=endpoints, until=until.date() if until else None)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"The token, shown only now: {made}", err=True)
    click.echo(line)
