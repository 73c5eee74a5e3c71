"""The partner of the demo: applies, makes plugins with the `openclaw plugin` command, uploads, follows, answers."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from openclaw_site.demo.clients import CSRF_COOKIE, Person, wait_for
from openclaw_site.demo.people import PARTNER, PARTNER_NAME, PARTNER_USER
from openclaw_site.demo.steps import Step, StepFailed
from openclaw_site.demo.world import World, run_here

CLIENT = "Build machine"
SCOPES = ["plugins:read", "plugins:write"]
CHECKED = {"checks_failed", "check_error", "waiting_for_review"}
CHECKS_TIMEOUT_S = 120.0


def join(step: Step, world: World) -> None:
    """Apply on the public page, and be accepted by the platform's administrator."""
    account = world.accounts[PARTNER_USER]
    with httpx.Client(base_url=world.url, timeout=30) as visitor:
        visitor.get("/partner/join/").raise_for_status()
        answer = visitor.post(
            "/partner/join/",
            data={
                "name": PARTNER_NAME,
                "slug": PARTNER,
                "website": "https://acme-vision.example",
                "contact_email": "publisher@acme-vision.example",
                "about": "Models that read forms, and models that order a pathologist's work list.",
                "username": account["username"],
                "password": account["password"],
            },
            headers={"X-CSRFToken": visitor.cookies[CSRF_COOKIE], "Referer": f"{world.url}/partner/join/"},
        )
    step.expect(answer.status_code == 200, "the application form was sent", seen=answer.status_code)
    with world.person("administrator") as administrator:
        waiting = administrator.rows("/api/v1/partner-applications/", state="applied")
        mine = next((row for row in waiting if row["slug"] == PARTNER), None)
        if mine is None:
            raise StepFailed("the administrator does not see the application")
        administrator.post(
            f"/api/v1/partner-applications/{mine['id']}/decide/",
            {"accept": True, "reason": "Known to us; the contract is signed."},
        )
    step.saw(f"the administrator accepted “{PARTNER_NAME}”; it is a tenant of its own now")


def make_client(step: Step, partner: Person) -> dict[str, str]:
    """A new OAuth 2.0 client for the command line, as the environment that the command reads; old ones are disabled."""
    for old in partner.rows("/api/v1/applications/", name=CLIENT):
        if not old["disabled_at"]:
            partner.post(f"/api/v1/applications/{old['id']}/disable/")
    made = partner.post(
        "/api/v1/applications/", {"name": CLIENT, "scopes": SCOPES, "role": "partner"}, status=201
    )
    step.saw(f"an OAuth 2.0 client for the command line: {made['client_id']}, scopes {', '.join(SCOPES)}")
    return {
        "OPENCLAW_URL": partner.url,
        "OPENCLAW_CLIENT_ID": made["client_id"],
        "OPENCLAW_CLIENT_SECRET": made["client_secret"],
    }


def make_plugin(
    step: Step, folder: Path, *, name: str, write: Callable[[Path], None], valid: bool = True
) -> Path:
    """`openclaw plugin init`, the partner's own files, `validate` and `pack`; returns the archive."""
    shutil.rmtree(folder, ignore_errors=True)
    run_here(*_CLI, "init", str(folder), "--name", name, "--author", PARTNER_NAME)
    write(folder)
    checked = run_here(*_CLI, "validate", str(folder), "--dry-run", "--json", good=(0 if valid else 1,))
    outcomes = json.loads(checked.stdout)
    good = sum(outcome["status"] == "PASSED" for outcome in outcomes)
    step.saw(
        f"openclaw plugin validate {name}: {good} of {len(outcomes)} checks pass on the partner's machine"
    )
    packed = run_here(*_CLI, "pack", str(folder), "-o", str(folder.parent))
    step.saw("openclaw plugin pack: " + " ".join(_last_lines(packed.stdout)))
    return Path(packed.stdout.split()[0])


def upload(step: Step, archive: Path, client: dict[str, str]) -> str:
    """`openclaw plugin upload`; returns the submission's id."""
    done = run_here(*_CLI, "upload", str(archive), environment=client)
    found = re.search(r"Submitted: ([0-9a-f-]{36})", done.stdout)
    if found is None:
        raise StepFailed(f"the command named no submission: {done.stdout}")
    step.saw(f"openclaw plugin upload {archive.name}: submission {found[1]}")
    return found[1]


def watch_checks(step: Step, partner: Person, submission_id: str) -> dict[str, Any]:
    """Follow a submission over its WebSocket alone until its checks have ended; returns it with its checks."""
    url = partner.url.replace("http", "ws", 1) + f"/ws/submissions/{submission_id}/"
    seen: dict[str, str] = {}
    messages = 0
    deadline = time.monotonic() + CHECKS_TIMEOUT_S
    with connect(url, origin=Origin(partner.url), additional_headers={"Cookie": partner.cookie()}) as socket:
        while True:
            try:
                message = socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise StepFailed(f"the checks did not end within {CHECKS_TIMEOUT_S:.0f} s") from error
            except ConnectionClosed as error:
                raise StepFailed(f"the WebSocket was closed: {error}") from error
            messages += 1
            submission: dict[str, Any] = json.loads(message)["submission"]
            for check in submission["checks"]:
                if check["status"] and check["name"] not in seen:
                    seen[check["name"]] = check["status"]
                    step.note(f"live: {check['title']}: {check['status']} ({check['duration_ms']} ms)")
            if submission["state"] in CHECKED:
                break
    step.expect(
        len(seen) == len(submission["checks"]) > 0,
        f"{messages} messages over the WebSocket while {len(seen)} checks ran in Celery",
        seen=seen,
    )
    return submission


def refused(step: Step, submission: dict[str, Any]) -> None:
    """The hostile upload ended, with a message that its publisher can read."""
    step.expect(submission["state"] == "checks_failed", "the version is refused", seen=submission["state"])
    for check in submission["checks"]:
        if check["status"] != "REJECTED":
            continue
        for finding in check["findings"]:
            step.saw(f"{check['title']}: {finding['message']}")
            break
    step.note(f"whose turn: {submission['whose_turn']}. {submission['next_step']}")


def answer(step: Step, partner: Person, submission_id: str, text: str) -> None:
    """Answer the reviewer's question."""
    submission = wait_for_state(partner, submission_id, "waiting_for_publisher")
    asked = [entry["message"] for entry in submission["timeline"] if entry["code"] == "waiting_for_publisher"]
    step.saw(f"the partner reads: “{asked[-1]}”")
    partner.post(f"/api/v1/submissions/{submission_id}/answer/", {"message": text})
    step.saw(f"and answers: “{text}”")


def wait_for_state(person: Person, submission_id: str, *states: str, timeout_s: float = 90) -> dict[str, Any]:
    """The submission once it is in one of `states`."""

    def probe() -> dict[str, Any] | None:
        submission: dict[str, Any] = person.get(f"/api/v1/submissions/{submission_id}/")
        return submission if submission["state"] in states else None

    return wait_for(f"submission {submission_id} in {' or '.join(states)}", probe, timeout_s=timeout_s)


def timeline(step: Step, person: Person, submission_id: str) -> None:
    """Print what everybody can see of a submission's way."""
    for entry in person.get(f"/api/v1/submissions/{submission_id}/")["timeline"]:
        message = f" “{entry['message']}”" if entry["message"] else ""
        step.note(f"{entry['at'][11:19]}  {entry['actor']}: {entry['text']}{message}")


_CLI = ("-m", "openclaw_site.cli", "plugin")


def _last_lines(text: str) -> list[str]:
    return [line.strip().rpartition("/")[2] for line in text.strip().splitlines()]
