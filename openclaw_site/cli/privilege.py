"""`openclaw privilege`: access review, unused rights, emergency access."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def privilege(arguments: tuple[str, ...]) -> None:
    """Rights: review, unused, remove; elevations, request, approve, refuse, withdraw, end; alarms, review-glass.

    Also keep, bounds, holders, name-holder, remove-holder.
    """
    raise SystemExit(run_django("privilege", *arguments))
