"""What a security review asks first, of the site as it is shipped: nothing here is switched on by the installation."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from governance.principals import Role
from tests.factories.governance import PASSWORD
from tests.site.meta.product import CHECKOUT
from tests.site.meta.test_endpoint_permissions import example, routes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey", "platform")]

PUBLIC = "openclaw.example.com"
LOGIN = "/accounts/login/"
# Programs call these with their own credentials, never a browser with its cookies.
# Programs without a browser, known by their secret or by the signature of what they send.
WITHOUT_CSRF = {"o/token/", "o/revoke/", "events/caep/<uuid:transmitter_id>/"}
PAGE_HEADERS = """
import json, django
django.setup()
from django.test import Client
plain = Client().get("/accounts/login/", headers={"host": "openclaw.example.com"})
page = Client().get("/accounts/login/", secure=True, headers={"host": "openclaw.example.com"})
cookies = {name: {k: v for k, v in morsel.items() if v} for name, morsel in page.cookies.items()}
print(json.dumps({"plain": [plain.status_code, plain.get("Location")], "status": page.status_code,
                  "headers": dict(page.headers), "cookies": cookies}))
"""


def under_https(services, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the settings of an installation that people reach over TLS."""
    environment = os.environ | services.environment() | {"OPENCLAW_PUBLIC_URL": f"https://{PUBLIC}"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_djangos_deployment_check_finds_nothing(services):
    ran = under_https(
        services, "-m", "django", "check", "--deploy", "--fail-level=INFO", "--database=default"
    )
    assert ran.returncode == 0, ran.stderr
    assert "0 silenced" in ran.stdout or "no issues" in ran.stdout


def test_over_https_browsers_are_told_to_stay_there(services):
    ran = under_https(services, "-c", PAGE_HEADERS)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert seen["plain"] == [301, f"https://{PUBLIC}{LOGIN}"]
    assert seen["status"] == 200
    assert seen["headers"]["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert seen["cookies"]["openclaw_csrf"]["secure"] is True


@pytest.mark.parametrize("page", [LOGIN, "/partner/join/", "/no-such-page", "/api/docs/"])
def test_every_page_carries_the_headers_of_a_careful_site(page):
    headers = Client().get(page).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in re.sub(r"style-src[^;]*", "", policy)
    assert "Server" not in headers
    assert "X-Powered-By" not in headers


def test_inline_code_needs_the_nonce_of_this_very_answer():
    nonces = set()
    for _time in range(2):
        answer = Client().get(LOGIN)
        policy = answer.headers["Content-Security-Policy"]
        used = set(re.findall(r'nonce="([^"]+)"', answer.content.decode()))
        allowed = set(re.findall(r"'nonce-([^']+)'", policy))
        assert used <= allowed
        inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*\bnonce=)[^>]*>", answer.content.decode())
        assert not inline
        nonces |= allowed
    assert len(nonces) != 1, "a nonce is used once"


def test_cookies_cannot_be_read_by_scripts_nor_sent_by_other_sites(org, member):
    browser = Client()
    person = member(org, Role.TENANT_ADMIN)
    browser.post(LOGIN, {"username": person.username, "password": PASSWORD})
    session = browser.cookies[settings.SESSION_COOKIE_NAME]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert int(session["max-age"]) <= 12 * 3600


def test_signing_in_changes_the_session_and_signing_out_ends_it(org, member):
    browser = Client()
    session = browser.session
    session["planted"] = "by somebody else"
    session.save()
    before = session.session_key
    browser.cookies[settings.SESSION_COOKIE_NAME] = before
    person = member(org, Role.TENANT_ADMIN)
    assert browser.post(LOGIN, {"username": person.username, "password": PASSWORD}).status_code == 302
    signed_in = browser.cookies[settings.SESSION_COOKIE_NAME].value
    assert signed_in != before
    browser.post("/accounts/logout/")
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = signed_in
    assert thief.get("/api/v1/me/").status_code == 401


def test_a_stranger_learns_nothing_about_who_has_an_account(org, member):
    person = member(org, Role.TENANT_ADMIN)
    answers, seconds = {}, {}
    for name in (person.username, "nobody-of-this-name"):
        took = []
        for _time in range(3):
            began = time.perf_counter()
            answer = Client().post(LOGIN, {"username": name, "password": "not the password"})
            took.append(time.perf_counter() - began)
        text = answer.content.decode().replace(name, "")
        answers[name] = (answer.status_code, re.sub(r'(value|nonce)="[^"]{16,}"', "", text))
        seconds[name] = statistics.median(took)
    known, unknown = answers.values()
    assert known == unknown
    # Both hash the password: neither is answered in a class of time of its own.
    fast, slow = sorted(seconds.values())
    assert slow < 3 * fast


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil"]
)
def test_nobody_is_sent_to_another_site(target, org, member):
    person = member(org, Role.TENANT_ADMIN)
    for address, body in (
        (LOGIN, {"username": person.username, "password": PASSWORD, "next": target}),
        ("/language/", {"language": "en", "next": target}),
        ("/accounts/logout/", {"next": target}),
    ):
        answer = Client().post(address, body)
        assert answer.status_code == 302
        assert "evil" not in answer["Location"], address
        assert not answer["Location"].startswith("javascript"), address


@pytest.mark.django_db(transaction=True)
def test_every_change_through_a_browser_needs_the_csrf_token(member, platform):
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(
        member(platform, Role.PLATFORM_ADMIN), backend="django.contrib.auth.backends.ModelBackend"
    )
    open_routes = []
    for route, methods in routes().items():
        for method in set(methods) - {"GET"}:
            status = browser.generic(method, example(route), content_type="application/json").status_code
            if status not in (403, 405) and route not in WITHOUT_CSRF:
                open_routes.append(f"{method} {route}: {status}")
    assert not open_routes


def test_an_unknown_host_is_refused_without_details():
    answer = Client(raise_request_exception=False).get(LOGIN, headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert b"evil.example" not in answer.content
    assert b"ALLOWED_HOSTS" not in answer.content


@pytest.mark.parametrize("page", ["/metrics", "/api/v1/me/"])
def test_an_unforeseen_error_shows_nothing_of_the_inside(page, monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise RuntimeError("the-inside-of-the-house")

    monkeypatch.setattr("openclaw_site.views.decide", broken)
    monkeypatch.setattr("governance.access.rest_auth.require", broken)
    answer = Client(raise_request_exception=False).get(page)
    assert answer.status_code == 500
    for word in (b"the-inside-of-the-house", b"Traceback", b"File &quot;", b".py", b"RuntimeError"):
        assert word not in answer.content
    assert "the-inside-of-the-house" in caplog.text, "the operator reads it in the log"


@pytest.fixture
def partner_browser(partner_org, member):
    browser = Client(raise_request_exception=False)
    browser.force_login(
        member(partner_org, Role.PARTNER), backend="django.contrib.auth.backends.ModelBackend"
    )
    return browser


def test_too_large_an_upload_is_413_and_names_the_limit(partner_browser, settings):
    settings.PLUGIN_UPLOAD_MAX_BYTES = 1000
    answer = partner_browser.post(
        "/api/v1/submissions/", {"file": SimpleUploadedFile("plugin.zip", b"0" * 1001)}
    )
    assert answer.status_code == 413
    assert answer["Content-Type"] == "application/problem+json"
    assert "1000" in answer.json()["detail"]


def test_too_large_a_body_is_refused_and_not_read_into_memory(partner_browser):
    body = json.dumps({"name": "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)})
    answer = partner_browser.post("/api/v1/applications/", body, content_type="application/json")
    assert answer.status_code == 413
    assert answer["Content-Type"] == "application/problem+json"


def test_passwords_are_kept_as_argon2_and_weak_ones_are_refused(org, member):
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    assert member(org, Role.DEVELOPER).password.startswith("argon2$argon2id$")
    for weak in ("short", "password1234", "1234567890123456"):
        with pytest.raises(ValidationError):
            validate_password(weak)


def test_debugging_is_off_and_cannot_be_switched_on():
    assert settings.DEBUG is False
    source = (CHECKOUT / "openclaw_site" / "settings.py").read_text()
    assert "DEBUG = False" in source
