"""`openclaw run`, `start`, `stop`, `status`: the whole site from one terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import BinaryIO

import click
from rich.console import Console

from openclaw_site.cli.welcome import print_welcome
from openclaw_site.config import CHECKOUT, Config, load, process_environment
from openclaw_site.runner import lock, preflight
from openclaw_site.runner.demo import play_once
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.process import rotate
from openclaw_site.runner.supervisor import Supervisor, probe

START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 60.0
LOG_WIDTH = 120


DEMO_OPTION = click.option(
    "--demo/--no-demo", default=True, help="Play the main job once if it was never played (default: yes)."
)


@click.command()
@DEMO_OPTION
@click.option("--background", is_flag=True, hidden=True)
def run(demo: bool, background: bool) -> None:
    """Start the whole site here, show where it is, and stop it on Ctrl-C."""
    config = load()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    supervisor = Supervisor(config, say=click.echo)

    def when_serving(site: Supervisor) -> None:
        if demo:
            play_once(site)
        print_welcome(config, console, stop_with="`openclaw stop`" if background else "Ctrl-C")

    click.echo("Starting OpenClaw")
    supervisor.run(when_serving=when_serving)
    click.echo("Stopped.")


@click.command()
@DEMO_OPTION
def start(demo: bool) -> None:
    """Start the whole site in the background and come back when it is ready."""
    start_in_background(load(), demo=demo)


@click.command()
def stop() -> None:
    """Stop the site of this checkout, wherever it was started."""
    click.echo("Stopped." if stop_site(load()) else "The site is not running.")


@click.command()
def status() -> None:
    """Say whether the site runs and how each of its parts is; exit status 1 when it is not ready."""
    config = load()
    pid = lock.RunLock(config.var).holder()
    state = lock.RunState.read(config.var)
    if not pid:
        click.echo("The site is not running.")
        raise SystemExit(1)
    ready, answer = probe(config)
    click.echo(f"{config.public_url}  {state.phase} (process {pid})")
    for child in state.children:
        click.echo(f"  {child.name:<14} process {child.pid}")
    click.echo(f"  health: {answer}")
    raise SystemExit(0 if ready else 1)


def start_in_background(config: Config, *, demo: bool) -> None:
    """Start a runner that outlives this process and wait until the site is ready; raises RunnerError when it fails."""
    preflight.check_python()
    preflight.check_state_folder(config)
    run_lock = lock.RunLock(config.var)
    with run_lock:  # says in a sentence that a site is running already, before anything is started
        pass
    log = config.var / "logs" / "runner.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    rotate(log)
    with log.open("ab") as stream, log.open("rb") as said:
        said.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "openclaw_site.cli",
                "run",
                "--background",
                "--demo" if demo else "--no-demo",
            ],
            cwd=CHECKOUT,
            env=process_environment(keep_secrets=True),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            _follow(config, process, said)
        except BaseException:
            process.send_signal(signal.SIGTERM)
            raise


def _follow(config: Config, process: subprocess.Popen[bytes], said: BinaryIO) -> None:
    """Pass on what the new runner says until the site is ready; raises RunnerError when it fails."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None  # asked before its output is read: then that is all of it
        state = lock.RunState.read(config.var)
        ready = state.pid == process.pid and state.phase == lock.READY
        click.echo(said.read(), nl=False)
        if ready:
            return
        if ended:
            raise RunnerError(
                "The site did not start (see above).", f"The logs are in {config.var / 'logs'}."
            )
        time.sleep(0.1)
    raise RunnerError("The site did not become ready in time.", f"The logs are in {config.var / 'logs'}.")


def stop_site(config: Config) -> bool:
    """Ask the runner of this checkout to stop and wait for it; returns whether one was running."""
    run_lock = lock.RunLock(config.var)
    pid = run_lock.holder()
    if pid <= 0:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while run_lock.holder() == pid:
        if time.monotonic() > deadline:
            raise RunnerError(
                f"The site (process {pid}) is still stopping.", "A second `openclaw stop` ends it at once."
            )
        time.sleep(0.05)
    return True
