"""`openclaw demo`: the main job, once, as real clients against the running site. Exit status 0: every step held."""

from __future__ import annotations

import re

import httpx
from rich.console import Console

from openclaw_site.config import load
from openclaw_site.demo.clients import Person
from openclaw_site.demo.journey import Cast, Publishing
from openclaw_site.demo.people import PARTNER_USER
from openclaw_site.demo.plugins import DIGITS
from openclaw_site.demo.steps import Report, StepFailed
from openclaw_site.demo.usage import Usage
from openclaw_site.demo.world import World, run_here

_OURS = re.compile(r"1\.(\d+)\.0")


def main() -> int:
    """Play every step; returns the exit status."""
    console = Console(highlight=False)
    world, report = World(load()), Report(console)
    console.print(f"[bold]The main job, played against {world.url}[/bold]")
    try:
        _play(world, report)
    except KeyboardInterrupt:
        console.print("\nInterrupted. What was published so far stays; the next run publishes new versions.")
        return 130
    except (StepFailed, httpx.HTTPError):
        pass  # the step has said why
    except Exception:  # noqa: BLE001  whatever it was, the demo did not hold, and a person wants to see where
        console.print_exception(max_frames=6)
    report.summary()
    if not report.held:
        console.print("[bold red]The main job did not hold.[/bold red] The first step with ✗ says why.")
        return 1
    console.print("[bold green]Every step held.[/bold green]")
    return 0


def _play(world: World, report: Report) -> None:
    run_here("-m", "django", "seed_demo")
    world.read_accounts()
    with Cast(world) as cast:
        publishing = Publishing(world, report, cast)
        earlier = _earlier_run(cast["administrator"])
        publishing.first_run, world.number = earlier is None, (earlier or 0) + 1
        publishing.play()
        Usage(world, report, cast, publishing).play()


def _earlier_run(administrator: Person) -> int | None:
    """The number of the last run that this site has seen: None before the partner was accepted."""
    accepted = administrator.rows("/api/v1/partner-applications/", state="accepted")
    if not any(application["applicant"] == PARTNER_USER for application in accepted):
        return None
    uploads = administrator.rows("/api/v1/submissions/", plugin_name=DIGITS)
    minors = [int(match[1]) for row in uploads if (match := _OURS.fullmatch(row["plugin_version"]))]
    return max(minors) // 2 + 1 if minors else 0
