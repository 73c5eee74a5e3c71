"""The journey of a policy in Chromium: a mistake found, tried on what was decided, put in force by a second person."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from governance.principals import Role
from tests.factories.policies import NO_BATCH

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_from_a_draft_to_a_refusal_that_explains_itself(org, member, open_as, keep):
    member(org, Role.TENANT_ADMIN, username="anna")
    member(org, Role.TENANT_ADMIN, username="bert")
    member(org, Role.DATA_SCIENTIST, username="carl")
    author, second = open_as("anna"), open_as("bert")
    scientist = open_as("carl")
    scientist.goto("/console/endpoints/")

    author.goto("/console/policies/")
    expect(author.get_by_text("No policies of your own yet")).to_be_visible()
    author.get_by_role("link", name="New draft").click()
    text = author.get_by_label("Policies, in Cedar's language")
    text.fill(NO_BATCH.strip().replace("serving.batch.create", "rollouts.endpoint.vew"))
    author.get_by_role("button", name="Check").click()
    expect(author.locator("#problems")).to_contain_text("Did you mean: rollouts.endpoint.view")
    keep(author, "policies-problems")
    text.fill(NO_BATCH.strip().replace("serving.batch.create", "rollouts.endpoint.view"))
    author.get_by_role("button", name="Check").click()
    expect(author.locator("#problems")).to_contain_text("The text is good")
    author.wait_for_timeout(900)  # what was decided is written every two seconds
    panel = author.locator("#report")
    for _again in range(30):
        author.get_by_role("button", name="Ask the recorded decisions again").click()
        expect(panel).to_contain_text("Looked at")
        if "carl" in panel.inner_text():
            break
        author.wait_for_timeout(700)
    expect(panel).to_contain_text("carl")
    keep(author, "policies-what-if")
    author.get_by_label("Note").fill("Endpoints wait for the data office.")
    author.get_by_role("button", name="Save and propose").click()
    expect(author.get_by_text("You wrote this version")).to_be_visible()

    second.goto("/console/policies/")
    second.get_by_role("link", name="Version 1").click()
    second.get_by_label("Reason").fill("Agreed on Monday.")
    second.get_by_role("button", name="Put in force").click()
    expect(second.locator(".badge.good")).to_have_text("in force")
    keep(second, "policies-in-force")

    scientist.set_viewport_size({"width": 390, "height": 780})
    scientist.goto("/console/endpoints/")
    expect(scientist.get_by_text("Batch jobs wait until the bank")).to_be_visible()
    scientist.get_by_role("link", name="Why was this refused?").click()
    expect(scientist.get_by_role("heading", name="Why was this refused?")).to_be_visible()
    expect(scientist.get_by_text("Ask the data office.")).to_be_visible()
    keep(scientist, "why-refused-phone")
    assert scientist.evaluate("document.documentElement.scrollWidth") <= 390

    author.goto("/console/policies/decisions/")
    refused = author.get_by_role("link", name=re.compile("rollouts.endpoint.view")).first
    for _again in range(40):  # written every two seconds, and the page does not reload itself
        if refused.is_visible():
            break
        author.wait_for_timeout(500)
        author.reload()
    refused.click()
    expect(author.get_by_text("The policy in full")).to_be_visible()
    keep(author, "why-refused")
    author.goto("/console/policies/shipped/")
    keep(author, "policies-shipped")
