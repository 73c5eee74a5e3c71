"""`openclaw break-glass`: emergency access at the machine itself."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.command("break-glass", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def break_glass(arguments: tuple[str, ...]) -> None:
    """Emergency access: ROLE --tenant acme --as NAME --reason "…"; a password and a code are read."""
    raise SystemExit(run_django("break_glass", *(arguments or ("--help",))))
