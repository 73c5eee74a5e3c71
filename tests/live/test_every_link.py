"""Whatever a person of the demo can click on opens, and fits a phone: every link is followed, one of each kind.

So nobody is shown a link that they may not follow, no page throws a script error, and nothing is wider than the screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.chromium import launched
from tests.live.site import LiveSite

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(600)]

PHONE = {"width": 360, "height": 740}
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HREFS = "links => links.map(link => link.getAttribute('href'))"
# One page of a kind stands for all of it: what differs is which object it shows.
OBJECT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|(?<=/)\d+(?=/|$)")
NOT_A_PAGE = re.compile(r"/logout|/export|/static/|\.(?:pdf|json|csv|jsonl|parquet|zip|md)$")
MOST_PAGES = 200


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.mark.parametrize(
    ("username", "language", "start", "at_least"),
    [
        ("administrator", "en", "/console/", 40),
        ("tenant-admin", "zh-Hans", "/console/", 40),
        ("ethics-officer", "en", "/console/", 10),
        ("data-scientist", "en", "/console/", 10),
        ("auditor", "zh-Hans", "/console/", 5),
        ("reviewer", "en", "/console/", 10),
        ("partner", "zh-Hans", "/partner/", 5),
    ],
)
def test_every_link_opens_and_fits_a_phone(
    played: LiveSite, browser: Browser, username: str, language: str, start: str, at_least: int
) -> None:
    context = browser.new_context(base_url=played.url, viewport=PHONE, locale=language)
    page = context.new_page()
    _sign_in(page, username, played.world.accounts[username]["password"])
    wrong, seen = _follow(page, start)
    context.close()
    assert not wrong, "\n".join(wrong)
    assert len(seen) >= at_least, "hardly anything was looked at"


def _sign_in(page: Page, username: str, password: str) -> None:
    page.goto("/accounts/login/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda address: "/login/" not in address)


def _follow(page: Page, start: str) -> tuple[list[str], set[str]]:
    """What was wrong, and the kinds of pages that were looked at."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on(
        "console", lambda said: wrong.append(f"{page.url}: {said.text}") if said.type == "error" else None
    )
    seen: set[str] = set()
    waiting = [(start, "")]
    while waiting and len(seen) < MOST_PAGES:
        path, linked_from = waiting.pop(0)
        kind = OBJECT.sub("*", path)
        if kind in seen or NOT_A_PAGE.search(path):
            continue
        seen.add(kind)
        try:
            answer = page.goto(path, wait_until="load")
        except Error as error:
            if "Download is starting" not in str(error):
                wrong.append(f"{path}: {error}")
            continue
        if answer is None or answer.status >= 400:
            wrong.append(f"{path} answered {answer and answer.status}, linked from {linked_from}")
            continue
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        if (pixels := page.evaluate(WIDER)) > 0:
            wrong.append(f"{path} is {pixels} pixels wider than a phone")
        links = page.eval_on_selector_all("a[href^='/']", HREFS)
        waiting += [(urlsplit(link).path, path) for link in links]
    return wrong, seen
