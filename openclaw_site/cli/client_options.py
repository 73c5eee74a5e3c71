"""What the commands that speak the REST API share: the client, a plan from a file, and how an answer is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from openclaw_client import Client, ClientError

PLAN_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@contextmanager
def connected(url: str, client_id: str, client_secret: str, *, scope: str) -> Iterator[Client]:
    """A client of the site; what it refuses ends the command with the site's own sentence and exit status 1."""
    try:
        with Client(url, client_id=client_id, client_secret=client_secret, scope=scope) as client:
            yield client
    except (ClientError, httpx.HTTPError) as error:
        raise click.ClickException(str(error)) from error


def print_json(found: Any) -> None:
    """As JSON, for people and for programs."""
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def object_of(file: Path | None) -> dict[str, Any]:
    """The JSON object in a file; empty without one."""
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.UsageError(f"{file} is no JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise click.UsageError(f"{file} holds no JSON object.")
    return found


def weights_of(given: tuple[str, ...]) -> dict[str, int]:
    """Whole percents by version, from `VERSION=PERCENT`."""
    weights = {}
    for one in given:
        version, _, percent = one.rpartition("=")
        if not version or not percent.isdecimal():
            raise click.UsageError(f"“{one}” is no VERSION=PERCENT.")
        if version in weights:
            raise click.UsageError(f"Version {version} stands there twice.")
        weights[version] = int(percent)
    return weights
