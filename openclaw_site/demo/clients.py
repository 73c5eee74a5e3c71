"""The demo's hands: a person with a browser's session, and a program with an OAuth 2.0 token. Plain HTTP only."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from openclaw_site.demo.steps import StepFailed

CSRF_COOKIE = "openclaw_csrf"
SESSION_COOKIE = "openclaw_session"
TIMEOUT_S = 60.0
T = TypeVar("T")


class Caller:
    """What people and programs have in common: JSON calls whose refusals can be read."""

    def __init__(self, url: str, label: str) -> None:
        self.url = url
        self.label = label
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def headers(self, method: str) -> dict[str, str]:
        """What every call of this caller carries."""
        return {}

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One call; the answer as it is, whatever its status."""
        given = {**self.headers(method), **arguments.pop("headers", {})}
        return self.http.request(method, path, headers=given, **arguments)

    def call(self, method: str, path: str, *, status: int | None = None, **arguments: Any) -> Any:
        """One call that must succeed (or answer with `status`); returns its JSON, None when it has no body.

        Raises StepFailed with the site's own words.
        """
        response = self.send(method, path, **arguments)
        good = response.is_success if status is None else response.status_code == status
        if not good:
            raise StepFailed(
                f"{self.label}: {method} {path} answered {response.status_code}: {told(response)}"
            )
        return response.json() if response.content else None

    def get(self, path: str, **arguments: Any) -> Any:
        """GET as `call`."""
        return self.call("GET", path, **arguments)

    def post(self, path: str, body: dict[str, Any] | None = None, **arguments: Any) -> Any:
        """POST as `call`, `body` as JSON."""
        if body is not None:
            arguments["json"] = body
        return self.call("POST", path, **arguments)

    def rows(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        """Every row of a list, page by page."""
        found: list[dict[str, Any]] = []
        page = self.get(path, params=parameters)
        while True:
            found += page["results"]
            if not page.get("next"):
                return found
            page = self.get(page["next"].removeprefix(self.url))


class Person(Caller):
    """Somebody who signed in on the log-in page, as a browser does."""

    def __init__(self, url: str, *, username: str, password: str) -> None:
        super().__init__(url, username)
        self.http.get("/accounts/login/").raise_for_status()
        answer = self.http.post(
            "/accounts/login/",
            data={"username": username, "password": password},
            headers={"X-CSRFToken": self.http.cookies[CSRF_COOKIE], "Referer": f"{url}/accounts/login/"},
        )
        if answer.status_code != 302:
            raise StepFailed(f"{username} could not sign in: the site answered {answer.status_code}")

    def headers(self, method: str) -> dict[str, str]:
        if method in ("GET", "HEAD"):
            return {}
        return {"X-CSRFToken": self.http.cookies[CSRF_COOKIE], "Referer": f"{self.url}/"}

    def work_in(self, tenant_id: str) -> None:
        """Choose the tenant to act in, as the menu of every page does."""
        answer = self.send("POST", "/accounts/tenant/", data={"tenant": tenant_id})
        if answer.status_code != 302 or self.get("/api/v1/me/")["tenant_id"] != tenant_id:
            raise StepFailed(f"{self.label} cannot work in the tenant {tenant_id}")

    def cookie(self) -> str:
        """The session as a WebSocket's handshake carries it."""
        return f"{SESSION_COOKIE}={self.http.cookies[SESSION_COOKIE]}"

    def page(self, path: str, *, language: str = "en") -> str:
        """A page's HTML in a language; raises StepFailed when it is not there."""
        answer = self.send("GET", path, headers={"Accept-Language": language}, follow_redirects=True)
        if answer.status_code != 200:
            raise StepFailed(f"{self.label}: the page {path} answered {answer.status_code}")
        return answer.text


class Program(Caller):
    """An OAuth 2.0 client of the client-credentials grant."""

    def __init__(self, url: str, *, label: str, client_id: str, client_secret: str) -> None:
        super().__init__(url, label)
        self.client_id, self.client_secret = client_id, client_secret
        self.token = ""

    def authorise(self, *scopes: str) -> str:
        """Get a token with these scopes, and use it from now on."""
        answer = self.http.post(
            "/o/token/",
            data={"grant_type": "client_credentials", "scope": " ".join(scopes)},
            auth=(self.client_id, self.client_secret),
        )
        if answer.status_code != 200:
            raise StepFailed(f"{self.label} got no token: {told(answer)}")
        self.token = str(answer.json()["access_token"])
        return self.token

    def revoke(self) -> None:
        """Give the token back (RFC 7009)."""
        self.http.post(
            "/o/revoke/", data={"token": self.token}, auth=(self.client_id, self.client_secret)
        ).raise_for_status()

    def headers(self, method: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def told(response: httpx.Response) -> str:
    """What a refusal says: problem details (RFC 9457), an OAuth error, or the beginning of the body."""
    try:
        problem = response.json()
    except ValueError:
        return " ".join(response.text.split())[:300]
    if not isinstance(problem, dict):
        return str(problem)[:300]
    words = [
        str(problem[key]) for key in ("detail", "hint", "error_description", "error") if problem.get(key)
    ]
    if not problem.get("hint"):
        words += [str(entry.get("detail", entry)) for entry in problem.get("errors") or ()]
    return " ".join(words)[:600] or str(problem)[:300]


def wait_for(
    what: str, probe: Callable[[], T | None], *, timeout_s: float = 60.0, every_s: float = 0.25
) -> T:
    """Ask `probe` until it answers something; raises StepFailed when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise StepFailed(f"{what} did not happen within {timeout_s:.0f} s")
        time.sleep(every_s)
