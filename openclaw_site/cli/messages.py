"""`openclaw messages`: compiled translations."""

from __future__ import annotations

import click

from openclaw_site.runner.assets import compile_messages


@click.command()
def messages() -> None:
    """Compile the translations whose sources changed."""
    click.echo(f"{compile_messages()} translation files compiled.")
