"""`openclaw migrate` and `openclaw manage …`: Django's commands with this installation's services and roles."""

from __future__ import annotations

import subprocess
import sys

import click

from openclaw_site.config import load
from openclaw_site.runner.services import available_services, site_environment


@click.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def migrate(arguments: tuple[str, ...]) -> None:
    """Bring the database schema up to date, as the role that owns it."""
    raise SystemExit(run_django("migrate", "--no-input", *arguments, owner=True))


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def manage(arguments: tuple[str, ...]) -> None:
    """Run a Django management command as the site's own role, e.g. `openclaw manage check --deploy`."""
    raise SystemExit(run_django(*arguments))


def run_django(*arguments: str, owner: bool = False) -> int:
    """Run one Django command in this terminal; returns its exit status.

    It uses the services of the running site, or starts the embedded ones for as long as it runs. It runs where the
    person stands, so that the files that they name are theirs, and takes no code from there (`-P`).
    """
    config = load()
    with available_services(config) as addresses:
        return subprocess.run(
            [sys.executable, "-P", "-m", "django", *arguments],
            env=site_environment(config, addresses, owner=owner),
            check=False,
        ).returncode
