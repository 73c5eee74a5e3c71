"""The real pages in Chromium, against the real web server and a real worker on this run's own services."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import launched

if TYPE_CHECKING:
    from tests.services import TestServices

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = Path(os.environ.get("OPENCLAW_TEST_ARTIFACTS", ROOT / "var" / "test-artifacts"))
READY_S = 60


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Lets `open_as` keep a picture of what a failed test saw."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, started once."""
    with launched() as started:
        yield started


@pytest.fixture(scope="package")
def site(django_db_setup: None, services: TestServices) -> Iterator[str]:
    """The address of a running site: granian and one Celery worker in processes of their own.

    Gone with these tests: its worker would take the tasks that other tests send.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = (
        os.environ | services.environment() | {"OPENCLAW_PUBLIC_URL": address, "OPENCLAW_PORT": str(port)}
    )
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    serve = ["granian", "--interface=asgi", "--host=127.0.0.1", f"--port={port}", "--no-access-log"]
    work = ["celery", "-A", "openclaw_site.celery", "worker", "--queues=default,checks,publish,batch"]
    commands = [
        [*serve, "--loop=uvloop", "openclaw_site.asgi:application"],
        [*work, "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=WARNING"],
    ]
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with (ARTIFACTS / "site.log").open("wb") as log:
        running = [
            subprocess.Popen([sys.executable, "-m", *argv], env=environment, cwd=ROOT, stdout=log, stderr=log)
            for argv in commands
        ]
        try:
            _wait_for(f"{address}/health/live")
            yield address
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(timeout=30)


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{address} did not answer within {READY_S} s; see {ARTIFACTS / 'site.log'}")


@pytest.fixture
def open_as(
    browser: Browser, site: str, valkey: None, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """`open_as("name")`: a signed-in page in its own browser; a script error or policy violation fails the test."""
    from tests.factories.governance import PASSWORD

    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def build(username: str = "", **options: Any) -> Page:
        context = browser.new_context(
            base_url=site,
            locale="en",
            viewport={"width": 1360, "height": 850},
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda m: problems.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("dialog", lambda dialog: dialog.accept())
        if username:
            page.goto("/accounts/login/")
            page.get_by_label("User name").fill(username)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(lambda url: "login" not in url)
        return page

    yield build
    for context in contexts:
        for number, page in enumerate(context.pages):
            if getattr(request.node, "failed", False):
                page.screenshot(path=ARTIFACTS / f"{request.node.name}-failed-{number}.png")
        context.close()
    assert not problems, problems


@pytest.fixture
def keep() -> Callable[[Page, str], None]:
    """`keep(page, "name")`: a screenshot among the run's artifacts."""

    def save(page: Page, name: str) -> None:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)

    return save
