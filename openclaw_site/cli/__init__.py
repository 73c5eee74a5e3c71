"""The `openclaw` command: what an operator, a partner and an edge site can do."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openclaw")
def main() -> None:
    """OpenClaw: an AI-assistant platform that runs on your own machines."""
