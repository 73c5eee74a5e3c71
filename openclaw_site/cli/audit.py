"""`openclaw audit`: what an auditor can ask from the command line."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.group()
def audit() -> None:
    """The audit log."""


@audit.command()
def verify() -> None:
    """Recompute every hash chain; exit 1 and say where one was changed, shortened or reordered."""
    raise SystemExit(run_django("audit_verify"))
