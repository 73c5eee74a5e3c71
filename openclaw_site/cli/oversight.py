"""`openclaw oversight`: stop buttons and what waits for a person."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def oversight(arguments: tuple[str, ...]) -> None:
    """Oversight by people: stops and the queue, its decisions and its rules (see --help)."""
    raise SystemExit(run_django("oversight", *arguments))
