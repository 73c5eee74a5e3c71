"""`openclaw identity`: providers, sessions, sign-in rules and lost second factors."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def identity(arguments: tuple[str, ...]) -> None:
    """Company sign-in, open sessions, sign-in rules, lost second factors; `openclaw identity --help` lists all."""
    raise SystemExit(run_django("identity", *(arguments or ("--help",))))
