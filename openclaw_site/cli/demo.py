"""`openclaw demo`: the main job once, with real clients, from a partner's upload to a measured prediction."""

from __future__ import annotations

import subprocess
import time

import click

from openclaw_site.cli.site import start_in_background, stop_site
from openclaw_site.config import Config, load
from openclaw_site.runner import lock
from openclaw_site.runner.demo import demo_program, played_mark
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.services import available_services, site_environment
from openclaw_site.runner.supervisor import READY_TIMEOUT_S


@click.command()
def demo() -> None:
    """Play the main job once against the running site, or against one started for it; exit 0 if all of it held."""
    config = load()
    started_here = not lock.RunLock(config.var).holder()
    if started_here:
        click.echo("No site is running here: starting one for the demo.")
        start_in_background(config, demo=False)
    try:
        _wait_until_serving(config)
        exit_code = play(config)
    finally:
        if started_here:
            stop_site(config)
    raise SystemExit(exit_code)


def play(config: Config) -> int:
    """Run the demo in this terminal; returns its exit status (0: every step held)."""
    with available_services(config) as addresses:
        program = demo_program(site_environment(config, addresses))
        exit_code = subprocess.run(
            program.argv, env=dict(program.environment), cwd=program.folder, check=False
        ).returncode
    if exit_code == 0:
        played_mark(config).touch()
    return exit_code


def _wait_until_serving(config: Config) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        phase = lock.RunState.read(config.var).phase
        if phase in (lock.SERVING, lock.READY):
            return
        if not lock.RunLock(config.var).holder():
            raise RunnerError(
                "The site stopped while it was starting.", f"The logs are in {config.var / 'logs'}."
            )
        time.sleep(0.1)
    raise RunnerError("The site is not ready.", "See `openclaw status`.")
