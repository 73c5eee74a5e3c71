"""`openclaw experiment`: an A/B/n experiment from its size to its winner, over the REST API."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from openclaw_client import RELEASE, Client
from openclaw_site.cli.client_options import PLAN_FILE, connected, object_of, print_json, weights_of
from openclaw_site.cli.plugin import credential_options
from openclaw_site.cli.rollout import reason_option


@click.group()
def experiment() -> None:
    """Experiments: compare several versions at once with the present one. Prints JSON."""


def _plan_options(command: Any) -> Any:
    """A plan from options, from a file, or from both: options count more."""
    for option in (
        click.option("--plan", "plan_file", type=PLAN_FILE, help="The plan as a JSON object."),
        click.option(
            "--effect", type=float, help="The smallest difference that matters, in the metric's unit."
        ),
        click.option("--metric", help="What decides; error_rate without it."),
        click.option("--alpha", type=float, help="The chance of a false winner; 0.05 without it."),
        click.option("--power", type=float, help="For the size; 0.8 without it."),
        click.option("--max-s", type=float, help="The longest time, in seconds."),
        click.option(
            "--end", type=click.Choice(["ask", "promote"]), help="Ask a person, or promote the winner."
        ),
        click.argument("arms", nargs=-1, metavar="VERSION[=PERCENT]..."),
        click.argument("endpoint"),
    ):
        command = option(command)
    return command


@experiment.command()
@_plan_options
@click.option(
    "--per-second", type=float, help="Requests per second that you expect; the present ones without it."
)
@credential_options
def plan(
    endpoint: str, per_second: float | None, url: str, client_id: str, client_secret: str, **given: Any
) -> None:
    """Say how many requests and how long an experiment on ENDPOINT needs; nothing is changed.

    Treatments alone get equal shares with the present version; with =PERCENT name that one too.
    """
    with _client(url, client_id, client_secret) as client:
        print_json(client.plan_experiment(endpoint, _plan(**given), per_second=per_second))


@experiment.command()
@_plan_options
@reason_option
@credential_options
def start(endpoint: str, reason: str, url: str, client_id: str, client_secret: str, **given: Any) -> None:
    """Divide the traffic of ENDPOINT between the present version and treatments."""
    with _client(url, client_id, client_secret) as client:
        print_json(client.start_experiment(endpoint, _plan(**given), reason=reason))


@experiment.command()
@click.argument("rollout_id", metavar="EXPERIMENT")
@click.option("--looks", is_flag=True, help="The evidence of every look instead, the newest first.")
@credential_options
def show(rollout_id: str, looks: bool, **credentials: str) -> None:
    """Print EXPERIMENT with its newest look, or all its looks."""
    with _client(**credentials) as client:
        print_json(client.rollout_looks(rollout_id) if looks else client.rollout(rollout_id))


@experiment.command()
@click.argument("rollout_id", metavar="EXPERIMENT")
@click.option("--version", default="", help="Only this treatment; the control gets its share.")
@reason_option
@credential_options
def stop(rollout_id: str, version: str, reason: str, **credentials: str) -> None:
    """End EXPERIMENT without a winner: the split from before comes back. With --version stop one treatment."""
    with _client(**credentials) as client:
        if version:
            print_json(client.stop_arm(rollout_id, version, reason=reason))
        else:
            print_json(client.change_rollout(rollout_id, "cancel", reason=reason))


@experiment.command()
@click.argument("rollout_id", metavar="EXPERIMENT")
@click.argument("version")
@reason_option
@credential_options
def winner(rollout_id: str, version: str, reason: str, **credentials: str) -> None:
    """End EXPERIMENT: VERSION gets all traffic."""
    with _client(**credentials) as client:
        print_json(client.change_rollout(rollout_id, "promote", version=version, reason=reason))


def _plan(*, plan_file: Path | None, arms: tuple[str, ...], **given: Any) -> dict[str, Any]:
    made = object_of(plan_file) | {name: value for name, value in given.items() if value is not None}
    if arms:
        made.pop("shares", None)
        made.pop("treatments", None)
        if any("=" in arm for arm in arms):
            made["shares"] = weights_of(arms)
        else:
            made["treatments"] = list(arms)
    return made


def _client(url: str, client_id: str, client_secret: str) -> AbstractContextManager[Client]:
    return connected(url, client_id, client_secret, scope=RELEASE)
