"""`openclaw batch`: batch jobs from the command line, as any client of the site starts and follows them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import click

from openclaw_client import Client
from openclaw_site.cli.client_options import connected, print_json
from openclaw_site.cli.plugin import credential_options


@click.group()
def batch() -> None:
    """Batch jobs: predictions for every row of a file or of a registered dataset."""


@batch.command()
@click.argument("endpoint")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", default="", help="Instead of a file: the id of a registered dataset.")
@click.option("--version", default="", help="A version of the endpoint; without it the split chooses one.")
@click.option("--format", "result_format", type=click.Choice(["jsonl", "parquet"]), default="jsonl")
@click.option("--purpose", default="", help="What for, where the data is kept for one purpose alone.")
@click.option("--label", default="", help="How confidential the file is; internal without it.")
@click.option("--key", default="", help="The same key again is the same job.")
@click.option("--wait", type=click.Path(path_type=Path), help="Wait for the end and write the result there.")
@credential_options
def start(
    endpoint: str,
    file: Path | None,
    wait: Path | None,
    url: str,
    client_id: str,
    client_secret: str,
    **said: str,
) -> None:
    """Predict every row of FILE (.jsonl, .csv, .parquet), or of --dataset, by ENDPOINT. Prints the job as JSON."""
    if (file is None) == (not said["dataset"]):
        raise click.UsageError("Give a FILE or --dataset, one of the two.")
    with _client(url, client_id, client_secret) as client:
        job = client.start_batch(endpoint, file, **said)
        if wait is not None:
            job = client.wait_for_batch(job["id"])
            if job["state"] == "succeeded":
                client.batch_result(job["id"], wait)
        print_json(job)
        if wait is not None and job["state"] != "succeeded":
            raise SystemExit(1)


@batch.command()
@click.argument("job")
@credential_options
def show(job: str, url: str, client_id: str, client_secret: str) -> None:
    """Print JOB with its progress as JSON."""
    with _client(url, client_id, client_secret) as client:
        print_json(client.batch(job))


@batch.command()
@click.argument("job")
@click.argument("file", type=click.Path(path_type=Path))
@credential_options
def result(job: str, file: Path, url: str, client_id: str, client_secret: str) -> None:
    """Write the result of JOB into FILE, and print its SHA-256."""
    with _client(url, client_id, client_secret) as client:
        click.echo(client.batch_result(job, file))


def _changing(what: str, told: str) -> click.Command:
    @click.argument("job")
    @credential_options
    def run(job: str, url: str, client_id: str, client_secret: str) -> None:
        with _client(url, client_id, client_secret) as client:
            print_json(client.change_batch(job, what))

    return click.command(what, help=told)(run)


for _what, _told in {
    "pause": "Let no new shard of JOB begin; what is under way is finished.",
    "resume": "Go on where JOB was paused.",
    "cancel": "Stop JOB for good.",
}.items():
    batch.add_command(_changing(_what, _told))


def _client(url: str, client_id: str, client_secret: str) -> AbstractContextManager[Client]:
    return connected(url, client_id, client_secret, scope="batch:write")
