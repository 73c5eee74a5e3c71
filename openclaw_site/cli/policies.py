"""`openclaw policies`: policies from a file under version control to what is in force, over the REST API.

Needs an application with the scope `tenant:manage` and an administrator's role. The person who made the application
answers for what it does, so a version that one's own application proposed is still put in force by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import click

from openclaw_site.cli.partner_client import Credentials, PartnerClient, PartnerError
from openclaw_site.cli.plugin import credential_options

_VERSIONS = "/api/v1/policy-versions/"
_DECISIONS = "/api/v1/decisions/"
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class PolicyClient(PartnerClient):
    """An administrator's side of the REST API."""

    scopes = "tenant:manage"

    def get(self, path: str) -> dict[str, Any]:
        """Read something. Raises PartnerError."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for something to be done. Raises PartnerError."""
        return self._call("POST", path, json=body)

    def version(self, number: int) -> dict[str, Any]:
        """The version with this number. Raises PartnerError."""
        rows = self.get(f"{_VERSIONS}?number={number}")["results"]
        if not rows:
            raise PartnerError(f"There is no version {number} of the policies.")
        return dict(rows[0])


@click.group()
def policies() -> None:
    """Policies: under which conditions people and programs may do what their roles allow."""


@policies.command("list")
@credential_options
def list_versions(url: str, client_id: str, client_secret: str) -> None:
    """List the versions, the newest first."""
    with _connected(url, client_id, client_secret) as client:
        for row in client.get(_VERSIONS)["results"]:
            note = f"  {row['note']}" if row["note"] else ""
            click.echo(f"{row['number']:>5}  {row['state']:<10} {row['digest'][:12]}{note}")


@policies.command()
@click.argument("number", type=int, required=False)
@credential_options
def show(number: int | None, url: str, client_id: str, client_secret: str) -> None:
    """Print the text of version NUMBER, or of the one in force."""
    with _connected(url, client_id, client_secret) as client:
        if number is not None:
            click.echo(client.version(number)["text"], nl=False)
            return
        rows = client.get(f"{_VERSIONS}?state=active")["results"]
        if not rows:
            raise click.ClickException("No policies of your own are in force.")
        click.echo(rows[0]["text"], nl=False)


@policies.command()
@click.argument("file", type=_FILE)
@credential_options
def validate(file: Path, url: str, client_id: str, client_secret: str) -> None:
    """Check FILE against the site's schema; exit status 1 and every mistake with its line when it is not good."""
    with _connected(url, client_id, client_secret) as client:
        answer = client.post(f"{_VERSIONS}validate/", {"text": _text(file)})
    for problem in answer["problems"]:
        click.echo(
            f"{file}:{problem['line']}:{problem['column']}: {problem['message']} {problem['help']}".rstrip()
        )
    if not answer["valid"]:
        raise SystemExit(1)
    click.echo(f"{file}: good, it can be proposed")


@policies.command()
@click.argument("file", type=_FILE)
@click.option("--note", default="", help="What it changes and why, for who puts it in force.")
@credential_options
def propose(file: Path, note: str, url: str, client_id: str, client_secret: str) -> None:
    """Propose FILE as the policies of your organisation; somebody else puts it in force."""
    with _connected(url, client_id, client_secret) as client:
        draft = client.post(_VERSIONS, {"text": _text(file), "note": note})
        try:
            made = client.post(f"{_VERSIONS}{draft['id']}/propose/", {})
        except PartnerError:
            client.post(f"{_VERSIONS}{draft['id']}/withdraw/", {"reason": "it could not be proposed"})
            raise
    click.echo(f"Version {made['number']} is proposed (sha256 {made['digest']}).")
    click.echo(f"Somebody else puts it in force: openclaw policies activate {made['number']}")


@policies.command()
@click.argument("number", type=int)
@click.option("--reason", default="", help="It is kept with the step.")
@credential_options
def activate(number: int, reason: str, url: str, client_id: str, client_secret: str) -> None:
    """Put the proposed version NUMBER in force, everywhere within a second. Never one's own."""
    with _connected(url, client_id, client_secret) as client:
        version = client.version(number)
        client.post(f"{_VERSIONS}{version['id']}/activate/", {"reason": reason})
    click.echo(f"Version {number} is in force (sha256 {version['digest']}).")


@policies.command()
@click.argument("number", type=int)
@click.option("--reason", default="", help="It is kept with the step.")
@credential_options
def withdraw(number: int, reason: str, url: str, client_id: str, client_secret: str) -> None:
    """Take the draft or proposal NUMBER back, for good."""
    with _connected(url, client_id, client_secret) as client:
        client.post(f"{_VERSIONS}{client.version(number)['id']}/withdraw/", {"reason": reason})
    click.echo(f"Version {number} is withdrawn.")


@policies.command("roll-back")
@click.argument("number", type=int)
@click.option("--reason", required=True, help="It is kept with the new version.")
@credential_options
def roll_back(number: int, reason: str, url: str, client_id: str, client_secret: str) -> None:
    """Propose version NUMBER, which was in force before, again; somebody else puts it in force."""
    with _connected(url, client_id, client_secret) as client:
        made = client.post(f"{_VERSIONS}{client.version(number)['id']}/roll-back/", {"reason": reason})
    click.echo(f"Version {made['number']} is proposed with the text of {number} (sha256 {made['digest']}).")
    click.echo(f"Somebody else puts it in force: openclaw policies activate {made['number']}")


@policies.command()
@click.option("--all", "everything", is_flag=True, help="Also what was allowed, and what only a page showed.")
@click.option("--action", default="", help="Of this action only, such as rollouts.endpoint.split.")
@credential_options
def decisions(everything: bool, action: str, url: str, client_id: str, client_secret: str) -> None:
    """List what was decided lately, the newest first: refusals, unless everything is asked for."""
    asked = {} if everything else {"allow": "false", "enforced": "true"}
    query = urlencode(asked | ({"action": action} if action else {}))
    with _connected(url, client_id, client_secret) as client:
        for row in client.get(f"{_DECISIONS}?{query}")["results"]:
            click.echo(
                f"{row['id']}  {row['last_at'][:16]}  {row['count']:>5}×  {row['principal_label']}  "
                f"{row['action']}  {row['target_label'] or row['target_id'] or '–'}: "
                f"{'allowed' if row['allow'] else 'refused'}  [{', '.join(row['rules'])}]"
            )


@policies.command()
@click.argument("decision", type=click.UUID)
@credential_options
def why(decision: UUID, url: str, client_id: str, client_secret: str) -> None:
    """Say why DECISION (an id that `decisions` lists) came out as it did, what was missing, and who can help."""
    with _connected(url, client_id, client_secret) as client:
        found = client.get(f"{_DECISIONS}{decision}/why/")
    for cause in found["causes"]:
        click.echo(f"{cause['sentence']}  ({cause['origin']}{', ' + cause['rule'] if cause['rule'] else ''})")
    for line in found["missing"]:
        click.echo(f"missing: {line}")
    helps = found["help"]
    for title, names in (("can do it", helps["people"]), ("can propose others", helps["changers"])):
        if names:
            click.echo(f"{title}: {', '.join(names)}")


@policies.command("what-if")
@click.argument("file", type=_FILE)
@click.option(
    "--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="How far to look back."
)
@credential_options
def what_if(file: Path, hours: int, url: str, client_id: str, client_secret: str) -> None:
    """Show what FILE would have decided over the recorded decisions of the last hours."""
    with _connected(url, client_id, client_secret) as client:
        report = client.post(f"{_VERSIONS}what-if/", {"text": _text(file), "hours": hours})
    for item in report["differences"]:
        shown = "" if item["enforced"] else " (only what a page shows)"
        click.echo(
            f"{item['count']:>7}×  {item['principal']}  {item['action']}  {item['target'] or '–'}: "
            f"{item['before']} → {item['after']}  [{', '.join(item['policies'])}]{shown}"
        )
    if report["more"]:
        click.echo(f"and {report['more']} more differences")
    click.echo(
        f"{report['refused']} decisions newly refused, {report['allowed']} newly allowed; "
        f"all {report['decisions']} decisions ({report['examined']} questions) since {report['since'][:16]}"
    )
    if report["not_replayable"]:
        click.echo(f"{report['not_replayable']} questions cannot be asked again: only their count was kept")


@contextmanager
def _connected(url: str, client_id: str, client_secret: str) -> Iterator[PolicyClient]:
    try:
        with PolicyClient(Credentials(url, client_id, client_secret)) as client:
            yield client
    except PartnerError as error:
        raise click.ClickException(str(error)) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not text in UTF-8.") from error
