"""A person's way with passkeys in the real browser: set one up, and from then on sign in without a password."""

from __future__ import annotations

import pytest

from governance.principals import Role
from tests.factories.governance import PASSWORD

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("valkey"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def address(site: str) -> str:
    """The site by a name: browsers keep no passkeys for a bare address."""
    return site.replace("127.0.0.1", "localhost")


def with_authenticator(page) -> None:
    """A platform authenticator (a laptop's own) that always recognises its owner."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


def test_a_passkey_takes_the_passwords_place(open_as, keep, address, org, member):
    user = member(org, Role.TENANT_ADMIN)
    page = open_as()
    with_authenticator(page)

    page.goto(f"{address}/accounts/login/")
    page.get_by_label("User name").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "login" not in url)

    page.goto(f"{address}/account/security/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Set up").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    keep(page, "recovery-codes")
    page.goto(f"{address}/account/security/")
    assert page.locator('input[name="name"]').input_value() == "Laptop"
    keep(page, "account-security")

    page.get_by_label("Account, tenant and language").click()
    page.locator(".oc-menu").get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: "login" in url)
    keep(page, "sign-in")

    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(lambda url: "login" not in url)
    page.goto(f"{address}/account/security/")
    assert page.locator('input[name="name"]').input_value() == "Laptop"

    # And as a proof where a password would not do.
    page.goto(f"{address}/accounts/reauthenticate/?level=3&next=/console/identity/people/")
    page.get_by_role("button", name="Use your passkey").click()
    page.get_by_role("heading", name="Second factors").wait_for()
    keep(page, "second-factors")

    # After the password alone, it is the second step.
    page.get_by_label("Account, tenant and language").click()
    page.locator(".oc-menu").get_by_role("button", name="Sign out").click()
    page.get_by_label("User name").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="One more step").wait_for()
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url(lambda url: "second-factor" not in url)
    assert "/console/" in page.url
