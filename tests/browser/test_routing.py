"""Routing rules and versions that compete, in Chromium: by keyboard, without scripts, and on a phone's screen."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts import services
from tests.factories.inference import adding_model, make_endpoint, make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def endpoint(org, member, principal_for):
    """An endpoint with a second and a third version behind it that have no traffic yet."""
    member(org, Role.TENANT_ADMIN, username="tom")
    admin = principal_for(org, Role.TENANT_ADMIN)
    made = make_endpoint(admin, make_version(admin))
    for number in (2.0, 3.0):
        make_version(admin, version=f"{number:.0f}.0.0", artifact=adding_model(number))
    with tenant_context(org.id):
        services.set_split(
            principal=admin, endpoint_id=made.id, weights={"1.0.0": 100, "2.0.0": 0, "3.0.0": 0}
        )
    return made


def fits(page: Page, width: int) -> None:
    """Nothing of the page stands beside the screen."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_rules_by_keyboard_and_without_scripts(endpoint, open_as, keep):
    page = open_as("tom")
    page.goto(f"/console/endpoints/{endpoint.id}/")
    page.get_by_role("link", name="Change the rules").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Routing rules", level=1)).to_be_visible()
    new = page.locator("section", has=page.get_by_role("heading", name="New cohort"))
    new.get_by_label("Name").focus()
    page.keyboard.type("Beta Testers")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("client-1")
    page.keyboard.press("Enter")
    page.keyboard.type("client-2")
    for _field in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(new.get_by_role("alert")).to_contain_text("no name for a cohort")
    expect(new.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    keep(page, "rules-mistake")
    new.get_by_label("Name").fill("beta-testers")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The rules are set")).to_be_visible()
    expect(page.get_by_text("X-OpenClaw-Cohort: beta-testers")).to_be_visible()
    expect(page.get_by_text("So are 2 listed callers and sessions.")).to_be_visible()

    plain = open_as("tom", java_script_enabled=False)
    plain.set_viewport_size({"width": 360, "height": 740})
    plain.goto(f"/console/endpoints/{endpoint.id}/routing/")
    shadow = plain.locator("section", has=plain.get_by_role("heading", name="New shadow version"))
    shadow.get_by_label("Version").select_option("3.0.0")
    shadow.get_by_label("Share of the requests, in percent").fill("25")
    shadow.get_by_role("button", name="Add the shadow").click()
    expect(plain.get_by_text("computes 25 % of the requests")).to_be_visible()
    keep(plain, "rules-phone")
    plain.get_by_text("Change “3.0.0”").click()
    change = plain.locator("li", has_text="Change “3.0.0”")
    change.get_by_label("Share of the requests, in percent").fill("5")
    change.get_by_role("button", name="Save").click()
    expect(plain.get_by_text("computes 5 % of the requests")).to_be_visible()
    plain.get_by_role("button", name="Remove the rule for beta-testers").click()
    expect(plain.get_by_text("nobody has a version of their own")).to_be_visible()

    page.reload()
    keep(page, "rules")
    page.set_viewport_size({"width": 360, "height": 740})
    fits(page, 360)
    page.goto(f"/console/endpoints/{endpoint.id}/")
    fits(page, 360)
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("X-OpenClaw-Cohort: beta-testers")).to_be_visible()


def test_versions_compete(endpoint, open_as, keep):
    page = open_as("tom")
    page.goto(f"/console/endpoints/{endpoint.id}/")
    keep(page, "endpoint-rules")
    page.get_by_role("link", name="Let versions compete").click()
    expect(
        page.get_by_text("Each new version begins with its least share; 1.0.0 keeps the rest.")
    ).to_be_visible()
    page.get_by_label("2.0.0").check()
    page.get_by_label("3.0.0").check()
    page.get_by_label("Least share of each, in percent").fill("40")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("leave no whole split")
    keep(page, "compete-mistake")
    page.set_viewport_size({"width": 360, "height": 740})
    fits(page, 360)
    keep(page, "compete-phone")
    page.get_by_label("Least share of each, in percent").fill("5")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile("/console/rollouts/"))
    expect(page.get_by_text("The versions compete now")).to_be_visible()
    fits(page, 360)
