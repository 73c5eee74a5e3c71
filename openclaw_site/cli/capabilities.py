"""`openclaw capabilities`: the base capabilities from the command line, as any client of the site uses them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import httpx

from openclaw_client import Client, ClientError
from openclaw_site.cli.manage import run_django
from openclaw_site.cli.plugin import credential_options

PICTURES = (".png", ".jpg", ".jpeg")


@click.group()
def capabilities() -> None:
    """Base capabilities: language, sentiment, intent, embedding, personal data, images, defects."""


@capabilities.command("list")
def list_them() -> None:
    """What there is, and how good each was measured to be."""
    from inference.capabilities.catalogue import FOLDER

    for entry in json.loads((FOLDER / "catalogue.json").read_text("utf-8")):
        click.echo(f"{entry['name']:<10} {entry['headline']} ({entry['licence']})")


@capabilities.command()
def add() -> None:
    """Bring them into every organisation of this site that lacks one, as every start does."""
    raise SystemExit(run_django("add_capabilities"))


@capabilities.command()
@click.argument("name")
@click.argument("given", nargs=-1, required=True, metavar="TEXT|PICTURE…")
@credential_options
def use(name: str, given: tuple[str, ...], url: str, client_id: str, client_secret: str) -> None:
    """Use NAME on texts, or on the PNG or JPEG files of these paths. “-” reads a text from standard input.

    Prints one JSON object per text or picture. The client needs the right to call the endpoint base-NAME.
    """
    content = [_content(argument) for argument in given]
    if len({type(item) for item in content}) > 1:
        raise click.UsageError("Give texts or pictures, not both.")
    try:
        with Client(url, client_id=client_id, client_secret=client_secret) as client:
            for answer in client.use(name, *content):
                click.echo(json.dumps(answer, ensure_ascii=False))
    except (ClientError, httpx.HTTPError) as error:
        raise click.ClickException(str(error)) from error


def _content(argument: str) -> Any:
    if argument == "-":
        return sys.stdin.read()
    if argument.lower().endswith(PICTURES):
        try:
            return Path(argument).read_bytes()
        except OSError as error:
            raise click.UsageError(f"“{argument}” cannot be read: {error.strerror}.") from error
    return argument
