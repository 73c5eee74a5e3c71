"""The journeys that people make, in Chromium: a partner's upload, a reviewer's decision, a tenant's canary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from governance.principals import Role
from tests.factories.inference import adding_model, make_endpoint, make_version
from tests.factories.marketplace import package

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SLOW_MS = 60_000


@pytest.fixture
def people(platform, org, partner_org, member):
    """One person per role that takes part."""
    member(partner_org, Role.PARTNER, username="pat")
    member(platform, Role.REVIEWER, username="rita")
    member(org, Role.TENANT_ADMIN, username="tom")
    member(platform, Role.PLATFORM_ADMIN, username="ada")


def upload(page: Page, folder: Path, version: str) -> None:
    """Upload a version through the form and wait until its checks are through."""
    archive = folder / f"digits-reader-{version}.zip"
    archive.write_bytes(package(version=version))
    page.goto("/partner/upload/")
    page.get_by_label("Plugin package (zip)").set_input_files(archive)
    expect(page.locator("[data-chosen]")).to_contain_text(archive.name)
    page.get_by_role("button", name="Upload and start the checks").click()
    page.wait_for_url(re.compile(r"/partner/submissions/"))
    expect(page.locator(".turn h2")).to_have_text("Waiting for a reviewer", timeout=SLOW_MS)


def approve(page: Page) -> None:
    """Claim the first submission in the queue and approve it."""
    page.goto("/console/review/")
    page.get_by_role("button", name="Claim").first.click()
    page.get_by_label("Reason").fill("Model card and dry run are fine.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").first).to_contain_text("Decided")


def test_from_upload_to_rollback(people, open_as, keep, tmp_path):
    partner, reviewer, tenant = open_as("pat"), open_as("rita"), open_as("tom")

    upload(partner, tmp_path, "1.0.0")
    expect(partner.locator("#live-state")).to_have_text("live")
    expect(partner.locator(".checks .badge.good").first).to_have_text("passed")
    keep(partner, "partner-checks")

    reviewer.goto("/console/review/")
    keep(reviewer, "reviewer-queue")
    reviewer.get_by_role("button", name="Claim").click()
    reviewer.get_by_role("link", name="Files").click()
    expect(reviewer.locator("pre.code")).to_contain_text("digits-reader")
    keep(reviewer, "reviewer-files")
    reviewer.get_by_role("link", name="Conversation").click()
    reviewer.get_by_label("Ask the partner").fill("On which data was it trained?")
    reviewer.get_by_role("button", name="Send the question").click()

    # The partner's open page learns of the question by itself.
    expect(partner.locator(".talk")).to_contain_text("On which data", timeout=SLOW_MS)
    partner.get_by_label("Your answer").fill("On random numbers with a fixed seed.")
    partner.get_by_role("button", name="Send the answer").click()
    reviewer.get_by_role("link", name="Overview").click()
    reviewer.get_by_label("Reason").fill("Everything is in order.")
    keep(reviewer, "reviewer-decide")
    reviewer.get_by_role("button", name="Approve").click()
    expect(partner.locator(".turn h2")).to_have_text("Published", timeout=SLOW_MS)
    keep(partner, "partner-published")

    tenant.goto("/console/catalogue/")
    tenant.get_by_role("link", name=re.compile("digits-reader")).click()
    tenant.get_by_role("link", name="Install 1.0.0").first.click()
    keep(tenant, "tenant-install")
    tenant.get_by_role("button", name="Install").click()
    expect(tenant.locator("#installation .badge").first).to_have_text("installed", timeout=SLOW_MS)
    keep(tenant, "tenant-installed")

    upload(partner, tmp_path, "1.1.0")
    approve(reviewer)
    expect(partner.locator(".turn h2")).to_have_text("Published", timeout=SLOW_MS)
    tenant.reload()
    tenant.get_by_role("link", name="Go to 1.1.0").click()
    tenant.get_by_role("button", name="Upgrade").click()
    expect(tenant.locator("#installation .badge").first).to_have_text("installed", timeout=SLOW_MS)

    tenant.goto("/console/endpoints/")
    tenant.get_by_role("link", name=re.compile("scorer")).click()
    tenant.get_by_role("button", name="Add").click()
    slider = tenant.get_by_role("slider")
    slider.focus()
    for _step in range(10):
        slider.press("ArrowRight")
    expect(tenant.get_by_label("1.1.0", exact=True)).to_have_value("10")
    tenant.get_by_label("Reason").fill("Canary with ten percent")
    tenant.get_by_role("button", name="Set the split").click()
    expect(tenant.locator(".timeline")).to_contain_text("Canary with ten percent")
    keep(tenant, "tenant-canary")
    tenant.get_by_role("button", name="Roll back").click()
    expect(tenant.locator(".timeline li").first).to_contain_text("Rolled back")
    expect(tenant.get_by_label("1.1.0", exact=True)).to_have_value("0")
    keep(tenant, "tenant-rolled-back")


def test_the_console_and_a_phone(people, open_as, keep, org, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    first = make_version(admin)
    make_version(admin, version="1.1.0", artifact=adding_model(2.0))
    make_endpoint(admin, first)
    console = open_as("ada")
    for address, name in [
        ("/console/", "house"),
        ("/console/tenants/user/", "people"),
        ("/console/audit/auditentry/", "audit"),
    ]:
        console.goto(address)
        keep(console, f"console-{name}")
    phone = open_as("tom", is_mobile=True)
    phone.set_viewport_size({"width": 390, "height": 844})
    for address in (
        "/console/",
        "/console/endpoints/",
        "/console/catalogue/",
        "/applications/",
        "/console/batch/",
    ):
        phone.goto(address)
        overflow = phone.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, address
    phone.goto("/console/")
    phone.get_by_role("button", name="Menu").click()
    expect(phone.get_by_role("link", name="Endpoints")).to_be_visible()
    keep(phone, "phone-menu")
    phone.keyboard.press("Escape")
    expect(phone.get_by_role("link", name="Endpoints").first).not_to_be_in_viewport()


def test_everything_in_chinese(people, open_as, keep):
    page = open_as("tom")
    page.goto("/console/")
    page.get_by_label("Account, tenant and language").click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("State")
    keep(page, "console-chinese")
