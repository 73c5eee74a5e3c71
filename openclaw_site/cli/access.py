"""`openclaw access`: tenants, people and memberships."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def access(arguments: tuple[str, ...]) -> None:
    """Tenants, people, memberships: suspend, disable, give, take; `openclaw access --help` lists all."""
    raise SystemExit(run_django("access", *(arguments or ("--help",))))
