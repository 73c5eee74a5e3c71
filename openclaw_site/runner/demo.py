"""Playing the main job once with real clients against the site that runs here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_site.config import CHECKOUT, Config
from openclaw_site.runner.process import Program

if TYPE_CHECKING:
    from openclaw_site.runner.supervisor import Supervisor

# The demo module may use Django (it runs with the site's environment) and returns its exit status.
ENTRY = "import sys; from openclaw_site.demo.main import main; sys.exit(main())"


def played_mark(config: Config) -> Path:
    """The file that says that the main job has been played in this state folder."""
    return config.var / "demo-played"


def demo_program(environment: Mapping[str, str]) -> Program:
    """The demo as a process that prints to this terminal."""
    return Program(
        name="demo", argv=[sys.executable, "-c", ENTRY], environment=environment, log=None, folder=CHECKOUT
    )


def play_once(site: Supervisor) -> None:
    """Play the main job against the running `site` unless it has been played; a failure leaves the site up."""
    mark = played_mark(site.config)
    if mark.exists():
        return
    site.say("Playing the main job once, so that no page is empty:")
    if site.run_step(demo_program(site.environment())):
        site.say("The main job did not finish (see above); the site is up. Try again with `openclaw demo`.")
    else:
        mark.touch()
