"""`openclaw plugin`: what a partner does on their own machine, from a new folder to a published version.

Needs neither a database nor settings: the checks are the same pure functions that the site runs.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from marketplace.catalog.findings import Finding, PackageProblem
from marketplace.catalog.manifest import read_manifest
from marketplace.catalog.package import inspect_archive, pack, readable_size
from openclaw_site.cli.partner_client import Credentials, PartnerClient, PartnerError

_STYLES = {
    "PASSED": ("✓", "green"), "FLAGGED": ("!", "yellow"), "REJECTED": ("✗", "red"), "ERROR": ("?", "magenta"),
    "critical": ("✗", "red"), "warn": ("!", "yellow"), "info": ("·", "dim"),
}  # fmt: skip
_DRY_RUN = "model-dry-run"
_PUBLISHER_TURN = {"publisher", "partner"}
_POLL_S = 1.0


@click.group()
def plugin() -> None:
    """Make, check, pack and upload plugins."""


@plugin.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="Name of the plugin: lower-case letters, digits, dots and hyphens.")
@click.option("--author", default="Your company", show_default=True, help="Who publishes it.")
def init(folder: Path | None, name: str | None, author: str) -> None:
    """Write a small plugin that works into FOLDER (or into a folder called like the plugin)."""
    from openclaw_site.cli.skeleton import write_skeleton

    if folder is None and name is None:
        raise click.UsageError("Give a folder or --name.")
    folder = folder or Path(str(name))
    name = name or re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "my-plugin"
    if not re.fullmatch(r"(?!.*(--|\.\.))[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?", name):
        raise click.UsageError(
            f"“{name}” cannot be a plugin's name. Use letters a-z, digits, dots and single hyphens."
        )
    try:
        written = write_skeleton(folder, name=name, author=author)
    except FileExistsError as error:
        raise click.ClickException(f"{folder} is not empty. Choose a new folder.") from error
    for path in written:
        click.echo(f"  {folder / path}")
    click.echo(
        f"\nNext: put your model in models/, describe it in models/CARD.md, then\n  openclaw plugin validate {folder}"
    )


@plugin.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--dry-run", is_flag=True, help="Also load the models and predict once, in a confined process.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as JSON.")
def validate(source: Path, dry_run: bool, as_json: bool) -> None:
    """Run the checks of the review on SOURCE, a plugin's folder or a packed archive.

    Exit status: 0 nothing refuses it, 1 something does.
    """
    console = Console(highlight=False)
    with _archive(source, console) as archive:
        outcomes = list(_outcomes(archive, dry_run=dry_run))
    refused = [check for check, outcome in outcomes if outcome.status in ("REJECTED", "ERROR")]
    if as_json:
        click.echo(
            json.dumps([_outcome_json(check, outcome) for check, outcome in outcomes], ensure_ascii=False)
        )
    else:
        for check, outcome in outcomes:
            _print_outcome(console, check, outcome)
        flagged = sum(outcome.status == "FLAGGED" for _, outcome in outcomes)
        if refused:
            console.print(
                _line("✗", "red", f"Not ready: {len(refused)} of {len(outcomes)} checks refuse it.")
            )
        elif flagged:
            console.print(_line("✓", "green", "Ready to pack. A reviewer will look at what is marked."))
        else:
            console.print(_line("✓", "green", "Ready to pack."))
    raise SystemExit(1 if refused else 0)


@plugin.command("pack")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The archive to write, or the folder for it."
)
def pack_command(folder: Path, output: Path | None) -> None:
    """Write FOLDER as NAME-VERSION.zip and print its SHA-256; the same files give the same archive."""
    console = Console(highlight=False)
    try:
        manifest = read_manifest(folder)
        target = output or Path()
        if target.is_dir():
            target = target / f"{manifest.name}-{manifest.version}.zip"
        packed = pack(folder, target)
    except PackageProblem as problem:
        _print_findings(console, problem.findings)
        raise SystemExit(1) from problem
    click.echo(f"{packed.path}  {readable_size(packed.size_bytes)}")
    click.echo(f"sha256 {packed.sha256}")


def credential_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which site and who is calling."""
    options = (
        click.option(
            "--url",
            envvar="OPENCLAW_URL",
            default="http://127.0.0.1:8000",
            show_default=True,
            help="The site.",
        ),
        click.option("--client-id", envvar="OPENCLAW_CLIENT_ID", required=True, help="OAuth client id."),
        click.option(
            "--client-secret", envvar="OPENCLAW_CLIENT_SECRET", required=True, help="OAuth client secret."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@plugin.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--questionnaire",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file with the answers to the ethics questionnaire (question id to answer).",
)
@click.option("--wait", is_flag=True, help="Follow the submission until it is decided or waits for you.")
@click.option(
    "--timeout", "timeout_s", type=float, default=0, help="With --wait: give up after so many seconds."
)
@credential_options
def upload(
    source: Path,
    questionnaire: Path | None,
    wait: bool,
    timeout_s: float,
    url: str,
    client_id: str,
    client_secret: str,
) -> None:
    """Upload SOURCE, a packed archive or a plugin's folder, as a new version.

    With --wait the exit status is 0 published, 1 refused or withdrawn, 2 waiting for you, 3 out of time.
    """
    console = Console(highlight=False)
    with (
        _archive(source, console) as archive,
        _connected(Credentials(url, client_id, client_secret)) as client,
    ):
        try:
            sha256 = inspect_archive(archive).sha256
        except PackageProblem as problem:
            _print_findings(console, problem.findings)
            raise SystemExit(1) from problem
        answers = questionnaire.read_text("utf-8") if questionnaire else ""
        submission = client.upload(archive, sha256=sha256, questionnaire=answers)
        click.echo(f"Submitted: {submission['id']}\nsha256 {sha256}")
        if not wait:
            _print_turn(console, submission)
            click.echo(f"Follow it: openclaw plugin status {submission['id']} --wait")
            return
        raise SystemExit(_follow(console, client, str(submission["id"]), timeout_s))


@plugin.command()
@click.argument("submission_id")
@click.option("--wait", is_flag=True, help="Follow the submission until it is decided or waits for you.")
@click.option(
    "--timeout", "timeout_s", type=float, default=0, help="With --wait: give up after so many seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print the submission as JSON.")
@credential_options
def status(
    submission_id: str,
    wait: bool,
    timeout_s: float,
    as_json: bool,
    url: str,
    client_id: str,
    client_secret: str,
) -> None:
    """Show where a submission stands, what happened, and whose turn it is."""
    console = Console(highlight=False)
    with _connected(Credentials(url, client_id, client_secret)) as client:
        if wait:
            raise SystemExit(_follow(console, client, submission_id, timeout_s))
        submission = client.submission(submission_id)
    if as_json:
        click.echo(json.dumps(submission, ensure_ascii=False, indent=2))
        return
    for entry in submission.get("timeline", ()):
        _print_event(console, entry)
    for check in submission.get("checks", ()):
        _print_check(console, check)
    _print_turn(console, submission)


@contextmanager
def _connected(credentials: Credentials) -> Iterator[PartnerClient]:
    try:
        with PartnerClient(credentials) as client:
            yield client
    except PartnerError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _archive(source: Path, console: Console) -> Iterator[Path]:
    """Give the archive itself, or a folder packed into a temporary one."""
    if source.is_file():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="openclaw-plugin-") as temporary:
        try:
            archive = pack(source, Path(temporary) / f"{source.resolve().name}.zip").path
        except PackageProblem as problem:
            _print_findings(console, problem.findings)
            raise SystemExit(1) from problem
        yield archive


def _outcomes(archive: Path, *, dry_run: bool) -> Iterator[tuple[Any, Any]]:
    from marketplace.review.checks.base import CheckContext, run_check
    from marketplace.review.checks.registry import CHECKS

    with CheckContext(archive=archive) as context:
        for check in CHECKS:
            if check.name != _DRY_RUN or dry_run:
                yield check, run_check(check, context)


def _outcome_json(check: Any, outcome: Any) -> dict[str, Any]:
    return {
        "name": check.name,
        "status": str(outcome.status),
        "message": outcome.text(),
        "findings": [finding.as_json() for finding in outcome.findings],
        "measures": outcome.measures,
    }


def _follow(console: Console, client: PartnerClient, submission_id: str, timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s if timeout_s else None
    events: set[str] = set()
    checks: dict[str, str] = {}
    turn = ""
    while True:
        submission = client.submission(submission_id)
        for entry in submission.get("timeline", ()):
            key = json.dumps(entry, sort_keys=True)
            if key not in events:
                events.add(key)
                _print_event(console, entry)
        for check in submission.get("checks", ()):
            state = str(check.get("status") or "")
            if checks.get(check["name"]) != state:
                checks[check["name"]] = state
                _print_check(console, check)
        ended = _end(submission)
        now = f"{submission.get('whose_turn')} {submission.get('next_step')}"
        if now != turn:
            turn = now
            _print_turn(console, submission)
        if ended is not None:
            return ended
        if deadline and time.monotonic() > deadline:
            console.print(_line("?", "magenta", "Still under way; look again with “openclaw plugin status”."))
            return 3
        time.sleep(_POLL_S)


_ENDS = {"published": 0, "rejected": 1, "checks_failed": 1, "withdrawn": 1}


def _end(submission: dict[str, Any]) -> int | None:
    """Return the exit status if nothing more will happen by itself."""
    if str(submission["state"]) in _ENDS or submission.get("whose_turn") == "nobody":
        return _ENDS.get(str(submission["state"]), 1)
    return 2 if submission.get("whose_turn") in _PUBLISHER_TURN else None


def _line(mark: str, style: str, text: str) -> Text:
    return Text.assemble((f"{mark} ", style), text)


def _print_outcome(console: Console, check: Any, outcome: Any) -> None:
    mark, style = _STYLES[str(outcome.status)]
    console.print(Text.assemble((f"{mark} {check.title}", style), "  ", (outcome.text(), "dim")))
    _print_findings(console, outcome.findings)


def _print_findings(console: Console, findings: Iterable[Finding]) -> None:
    for finding in findings:
        _print_finding(console, finding.as_json())


def _print_finding(console: Console, finding: dict[str, Any]) -> None:
    mark, style = _STYLES.get(str(finding.get("severity")), ("·", "dim"))
    where = str(finding.get("path") or "")
    if finding.get("line"):
        where += f":{finding['line']}"
    text = Text.assemble(
        (f"    {mark} ", style), (f"{where}  " if where else "", "cyan"), str(finding["message"])
    )
    if finding.get("evidence"):
        text.append(f"  [{finding['evidence']}]", "dim")
    console.print(text)


def _print_check(console: Console, check: dict[str, Any]) -> None:
    mark, style = _STYLES.get(str(check.get("status")), ("…", "dim"))
    title = str(check.get("title") or check.get("name"))
    console.print(Text.assemble((f"{mark} {title}", style), "  ", (str(check.get("message") or ""), "dim")))
    for finding in check.get("findings") or ():
        _print_finding(console, finding)


def _print_event(console: Console, entry: dict[str, Any]) -> None:
    at = str(entry.get("at") or entry.get("time") or "")[:19].replace("T", " ")
    what = str(entry.get("text") or entry.get("message") or entry.get("event") or entry.get("state") or "")
    actor = entry.get("actor")
    name = actor.get("label", "") if isinstance(actor, dict) else str(actor or "")
    console.print(Text.assemble((f"{at}  ", "dim"), what, (f"  {name}" if name else "", "cyan")))
    if entry.get("text") and entry.get("message"):  # what a person wrote
        console.print(Text(f"    {entry['message']}"))


def _print_turn(console: Console, submission: dict[str, Any]) -> None:
    whose = submission.get("whose_turn")
    turn = f" · turn: {whose}" if whose else ""
    console.print(
        Text.assemble(
            (f"State: {submission.get('state')}{turn}", "bold"), f"\n{submission.get('next_step') or ''}"
        )
    )
