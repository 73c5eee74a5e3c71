"""`openclaw devices`: registered devices."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def devices(arguments: tuple[str, ...]) -> None:
    """Registered devices: list, posture, revoke (each with --help)."""
    raise SystemExit(run_django("devices", *arguments))
