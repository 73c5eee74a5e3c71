"""`openclaw events`: security events of companies' identity providers."""

from __future__ import annotations

from pathlib import Path

import click

from openclaw_site.cli.manage import run_django


@click.group()
def events() -> None:
    """Security events (CAEP) from companies' identity providers."""


@events.command()
def transmitters() -> None:
    """Who is believed, and where each delivers to."""
    raise SystemExit(run_django("events", "transmitters"))


@events.command()
@click.option("--limit", type=int, default=50, show_default=True)
def received(limit: int) -> None:
    """What was told and what it did, the newest first."""
    raise SystemExit(run_django("events", "received", f"--limit={limit}"))


@events.command()
@click.argument("name")
@click.option("--tenant", required=True, help="Short name of the tenant whose people it speaks about.")
@click.option("--issuer", required=True, help="The claim “iss” of its events.")
@click.option("--audience", default="", help="The claim “aud”; default: this site's public address.")
@click.option("--jwks-url", default="", help="Where its public keys are.")
@click.option("--jwks", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JWK Set.")
@click.option("--internal-network", is_flag=True, help="Its address may be a private one.")
def add(
    name: str,
    tenant: str,
    issuer: str,
    audience: str,
    jwks_url: str,
    jwks: Path | None,
    internal_network: bool,
) -> None:
    """Believe a transmitter; prints the address that it delivers to."""
    options = [f"--tenant={tenant}", f"--issuer={issuer}", f"--audience={audience}"]
    options.append(f"--jwks={jwks}" if jwks else f"--jwks-url={jwks_url}")
    if internal_network:
        options.append("--internal-network")
    raise SystemExit(run_django("events", "add", name, *options))


@events.command()
@click.argument("transmitter")
@click.option("--reason", default="")
def disable(transmitter: str, reason: str) -> None:
    """Believe a transmitter no more."""
    raise SystemExit(run_django("events", "disable", transmitter, f"--reason={reason}"))


@events.command()
@click.argument("transmitter")
@click.option("--reason", default="")
def enable(transmitter: str, reason: str) -> None:
    """Believe a transmitter again."""
    raise SystemExit(run_django("events", "enable", transmitter, f"--reason={reason}"))
