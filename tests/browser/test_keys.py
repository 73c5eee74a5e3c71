"""The journey of a tenant's keys in Chromium: made, rotated, written anew, and in the end destroyed by two people."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from governance.keys import envelopes
from governance.principals import Role
from governance.tenants.context import tenant_context

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_from_the_first_key_to_the_last(org, platform, member, open_as, keep):
    member(org, Role.TENANT_ADMIN, username="anna")
    member(platform, Role.PLATFORM_ADMIN, username="otto")
    with tenant_context(org.id):
        for purpose in ("models.artifact", "datasets.file"):
            envelopes.seal(b"bytes", tenant_id=org.id, purpose=purpose, object_id="1")
    anna, otto = open_as("anna"), open_as("otto")

    otto.goto("/console/")
    expect(otto.get_by_text("Keys are kept in files").first).to_be_visible()
    otto.goto("/console/keys/")
    keep(otto, "keys-overview")
    otto.get_by_role("link", name=org.name).click()
    otto.get_by_role("button", name="Rotate the wrapping key").click()
    expect(otto.get_by_text("There is a new wrapping key")).to_be_visible()
    otto.get_by_role("button", name="Write everything anew").click()
    expect(otto.locator(".checks .badge.good", has_text="done")).to_be_visible(timeout=30_000)
    keep(otto, "keys-rotated")

    anna.set_viewport_size({"width": 390, "height": 780})
    anna.goto("/console/keys/")
    anna.get_by_text("Destroy all keys").click()
    anna.get_by_label("Reason").fill("The contract has ended.")
    anna.get_by_role("button", name="Ask for destruction").click()
    expect(anna.get_by_text("somebody else must confirm")).to_be_visible()
    keep(anna, "keys-destruction-phone")
    otto.reload()
    expect(otto.get_by_text("anna asked")).to_be_visible()
    keep(otto, "keys-destruction")
    otto.get_by_role("button", name="Destroy the keys").click()
    expect(otto.get_by_text("can never be read again").first).to_be_visible()
    for _again in range(20):
        if otto.get_by_text("waits to be erased").count() == 0:
            break
        otto.wait_for_timeout(500)
        otto.reload()
    expect(otto.get_by_text("erased").first).to_be_visible()
    keep(otto, "keys-destroyed")
