"""`openclaw rollout`: bringing versions in, deciding, and what else moves an endpoint's traffic, over the REST API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import click

from openclaw_client import RELEASE, Client, Step
from openclaw_site.cli.client_options import PLAN_FILE, connected, object_of, print_json, weights_of
from openclaw_site.cli.plugin import credential_options

KEPT = "It is kept with the step."
plan_option = click.option("--plan", "plan_file", type=PLAN_FILE, help="The plan as a JSON object.")
reason_option = click.option("--reason", default="", help=KEPT)


@click.group()
def rollout() -> None:
    """Rollouts: bring versions in, watch, decide; and the split and rules of an endpoint. Prints JSON."""


@rollout.command()
@click.argument("endpoint")
@click.argument("version")
@click.option("--kind", type=click.Choice(["canary", "blue_green"]), default="canary", show_default=True)
@click.option("--steps", default="", help="Percents of a canary, such as 5,25,50.")
@click.option("--min-s", type=float, help="How long each of --steps lasts at least, in seconds.")
@plan_option
@reason_option
@credential_options
def start(
    endpoint: str,
    version: str,
    kind: str,
    steps: str,
    min_s: float | None,
    plan_file: Path | None,
    reason: str,
    **credentials: str,
) -> None:
    """Bring VERSION in behind ENDPOINT (its name or id), beside the version that has all traffic."""
    plan = object_of(plan_file)
    if steps:
        least = {} if min_s is None else {"min_s": min_s}
        plan["steps"] = [{"percent": percent} | least for percent in _percents(steps)]
    with _client(**credentials) as client:
        print_json(client.start_rollout(endpoint, version, kind=kind, plan=plan, reason=reason))


@rollout.command()
@click.argument("endpoint")
@click.argument("versions", nargs=-1, required=True)
@click.option("--policy", type=click.Choice(["thompson", "ucb1"]), help="How shares follow rewards.")
@click.option("--reward", type=click.Choice(["reward", "task_completed"]), help="What versions earn.")
@click.option("--floor", type=int, help="The least percent of every version.")
@click.option("--cap", type=int, help="The most percent of each version but the present one.")
@click.option("--holdout", type=float, help="The share that is dealt out evenly, such as 0.1.")
@plan_option
@reason_option
@credential_options
def compete(
    endpoint: str,
    versions: tuple[str, ...],
    plan_file: Path | None,
    reason: str,
    url: str,
    client_id: str,
    client_secret: str,
    **policy: Any,
) -> None:
    """A bandit: let VERSIONS compete with the one that has all traffic of ENDPOINT."""
    plan = object_of(plan_file) | {name: value for name, value in policy.items() if value is not None}
    with _client(url, client_id, client_secret) as client:
        print_json(client.start_bandit(endpoint, versions, plan=plan, reason=reason))


@rollout.command("list")
@click.option("--endpoint", default="", help="Of this endpoint only (its name or id).")
@click.option("--state", default="", help="running, holding, promoted, rolled_back or cancelled.")
@click.option("--kind", default="", help="canary, blue_green, bandit or experiment.")
@credential_options
def list_rollouts(endpoint: str, state: str, kind: str, **credentials: str) -> None:
    """List rollouts, the newest first."""
    with _client(**credentials) as client:
        names = {row["id"]: row["name"] for row in client.endpoints()}
        for row in client.rollouts(endpoint=endpoint, state=state, kind=kind):
            to = row["candidate"] or "…"
            name = names.get(row["endpoint"], row["endpoint"])
            click.echo(f"{row['id']}  {row['state']:<11}  {row['kind']:<10}  {name}  {row['stable']} → {to}")


@rollout.command()
@click.argument("rollout_id", metavar="ROLLOUT")
@click.option("--looks", is_flag=True, help="The evidence of every look instead, the newest first.")
@credential_options
def show(rollout_id: str, looks: bool, **credentials: str) -> None:
    """Print ROLLOUT with its newest look, or all its looks."""
    with _client(**credentials) as client:
        print_json(client.rollout_looks(rollout_id) if looks else client.rollout(rollout_id))


def _changing(
    step: str, told: str, *options: Callable[[Any], Any], needs_reason: bool = False
) -> click.Command:
    @click.argument("rollout_id", metavar="ROLLOUT")
    @(click.option("--reason", required=True, help=KEPT) if needs_reason else reason_option)
    @credential_options
    def run(
        rollout_id: str, reason: str, url: str, client_id: str, client_secret: str, version: str = ""
    ) -> None:
        with _client(url, client_id, client_secret) as client:
            print_json(client.change_rollout(rollout_id, cast(Step, step), reason=reason, version=version))

    for option in options:
        run = option(run)
    return click.command(step.replace("_", "-"), help=told)(run)


_version = click.option("--version", default="", help="Which one wins, where several compete.")
for _command in (
    _changing("hold", "Leave the traffic of ROLLOUT as it is until a person decides.", needs_reason=True),
    _changing("resume", "Let ROLLOUT, which waits, look at its present step once more."),
    _changing("promote", "Give the new version everything, and end ROLLOUT.", _version),
    _changing(
        "roll_back", "Return to the split from before ROLLOUT: its version was judged.", needs_reason=True
    ),
    _changing("cancel", "Return to the split from before ROLLOUT without a judgement."),
):
    rollout.add_command(_command)


@rollout.command()
@click.argument("rollout_id", metavar="ROLLOUT")
@click.argument("answer", type=click.Choice(["promote", "resume", "roll-back"]))
@click.option("--version", default="", help="Which one wins, where several compete.")
@click.option("--reason", required=True, help=KEPT)
@credential_options
def decide(rollout_id: str, answer: str, version: str, reason: str, **credentials: str) -> None:
    """Answer ROLLOUT, which waits for a person; one that somebody else has answered meanwhile is left alone."""
    step: Any = answer.replace("-", "_")
    with _client(**credentials) as client:
        print_json(client.decide_rollout(rollout_id, step, reason=reason, version=version))


@rollout.command()
@click.argument("endpoint")
@click.argument("shares", nargs=-1, metavar="VERSION=PERCENT...")
@click.option("--estimate", is_flag=True, help="Only say what that split would have earned.")
@click.option("--reward", default="", help="What --estimate goes by; accuracy without it.")
@click.option("--undo", is_flag=True, help="Take the last change of the split or the rules back.")
@reason_option
@credential_options
def split(
    endpoint: str,
    shares: tuple[str, ...],
    estimate: bool,
    reward: str,
    undo: bool,
    reason: str,
    **credentials: str,
) -> None:
    """Show the split of ENDPOINT, or set it: whole percents that sum to 100."""
    if undo and (shares or estimate):
        raise click.UsageError("--undo takes no shares.")
    if estimate and not shares:
        raise click.UsageError("Say which split to estimate: VERSION=PERCENT …")
    weights = weights_of(shares)
    with _client(**credentials) as client:
        if undo:
            found = client.undo_split(endpoint, reason=reason)
        elif estimate:
            found = client.estimate_split(endpoint, weights, reward=reward)
        elif weights:
            found = client.set_split(endpoint, weights, reason=reason)
        else:
            found = client.endpoint(endpoint)
        print_json(found)


@rollout.command()
@click.argument("endpoint")
@click.argument("file", required=False, type=PLAN_FILE)
@reason_option
@credential_options
def routing(endpoint: str, file: Path | None, reason: str, **credentials: str) -> None:
    """Show the rules of ENDPOINT beside the split, or set them from FILE: {"cohorts": […], "shadows": […]}."""
    rules = object_of(file)
    if unknown := sorted(set(rules) - {"cohorts", "shadows"}):
        raise click.UsageError(f"{file} says “{unknown[0]}”; rules are cohorts and shadows.")
    with _client(**credentials) as client:
        found = (
            client.set_routing(endpoint, **rules, reason=reason)
            if file is not None
            else client.endpoint(endpoint)
        )
        print_json(found["routing"])


def _percents(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"“{text}” is no list of percents such as 5,25,50.") from error


def _client(url: str, client_id: str, client_secret: str) -> AbstractContextManager[Client]:
    return connected(url, client_id, client_secret, scope=RELEASE)
