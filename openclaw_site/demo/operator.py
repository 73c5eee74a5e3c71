"""The operator and the auditor of the demo: health, metrics, the audit log, and pages in both languages."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx

from openclaw_site.config import CHECKOUT
from openclaw_site.demo.clients import Person
from openclaw_site.demo.steps import Step

REQUESTS = "openclaw_inference_requests_total"


def health(step: Step, url: str) -> None:
    """Every part says that it works."""
    alive = httpx.get(f"{url}/health/live")
    step.expect(alive.status_code == 200, "/health/live answers", seen=alive.status_code)
    ready = httpx.get(f"{url}/health/ready", timeout=30)
    parts: dict[str, Any] = ready.json()["parts"]
    words = ", ".join(f"{name} {state}" for name, state in parts.items())
    well = ready.status_code == 200 and set(parts.values()) == {"ok"}
    step.expect(well, f"/health/ready: {words}", seen=words)


def metrics(step: Step, url: str, token: str, *, endpoint: str) -> None:
    """Prometheus' page is closed without its token, and counts what the demo sent."""
    closed = httpx.get(f"{url}/metrics")
    step.expect(closed.status_code == 401, "/metrics without its token: 401", seen=closed.status_code)
    opened = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
    counted = sum(
        float(line.rpartition(" ")[2])
        for line in opened.text.splitlines()
        if line.startswith(REQUESTS) and f'endpoint="{endpoint}"' in line
    )
    step.expect(
        opened.status_code == 200 and counted > 0,
        f"/metrics counts {counted:.0f} requests to “{endpoint}”",
        seen=opened.status_code,
    )


CLOSED_TO_AUDITORS = ("/api/v1/policy-versions/", "/api/v1/models/", "/api/v1/endpoints/", "/console/house/")


def audit(step: Step, auditor: Person) -> None:
    """The auditor reads the log; the chain is recomputed by the command."""
    entries = auditor.get("/api/v1/audit-entries/")["results"]
    step.saw(
        f"the auditor reads the log; the newest entry: {entries[0]['action']} by {entries[0]['actor_label']}"
    )
    closed = {path: auditor.send("GET", path).status_code for path in CLOSED_TO_AUDITORS}
    step.expect(set(closed.values()) == {403}, "the auditor sees nothing but the log", seen=closed)
    done = subprocess.run(
        [sys.executable, "-m", "django", "audit_verify"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        step.note(line)
    step.expect(
        done.returncode == 0, "openclaw audit verify: every chain holds", seen=done.stdout + done.stderr
    )


def languages(step: Step, person: Person, *, path: str) -> None:
    """One page in English and in Simplified Chinese, as the browser asks for it."""
    english, chinese = person.page(path, language="en"), person.page(path, language="zh-Hans")
    step.expect('lang="en"' in english, f"{path} in English: {_heading(english)}")
    step.expect(
        'lang="zh-hans"' in chinese.lower()
        and any("\u4e00" <= char <= "\u9fff" for char in _heading(chinese)),
        f"{path} in Simplified Chinese: {_heading(chinese)}",
        seen=_heading(chinese),
    )


def _heading(html: str) -> str:
    title = html.partition("<title>")[2].partition("</title>")[0]
    return "“" + " ".join(title.split()) + "”"
