"""A partner's side of the REST API: a token by client credentials, uploads, and the way of a submission."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

SCOPES = "plugins:read plugins:write"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class PartnerError(Exception):
    """The site refused or could not be reached; the message is a sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the site is and who is calling."""

    url: str
    client_id: str
    client_secret: str


class PartnerClient:
    """Talks to one site. Use as a context manager. Every method raises PartnerError."""

    scopes = SCOPES

    def __init__(self, credentials: Credentials, *, timeout_s: float = 60.0) -> None:
        parts = urlsplit(credentials.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PartnerError(
                f"“{credentials.url}” is not a web address. Use one like https://openclaw.example.com."
            )
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise PartnerError(
                "A secret is not sent without encryption. Use the https:// address of the site."
            )
        self._credentials = credentials
        self._token = ""
        self._http = httpx.Client(base_url=credentials.url.rstrip("/"), timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload(self, archive: Path, *, sha256: str, questionnaire: str = "") -> dict[str, Any]:
        """Upload a packed plugin and return the submission; the same archive twice is one submission."""
        with archive.open("rb") as file:
            return self._call(
                "POST",
                "/api/v1/submissions/",
                files={"file": (archive.name, file, "application/zip")},
                data={"questionnaire": questionnaire} if questionnaire else None,
                headers={"Idempotency-Key": sha256},
            )

    def submission(self, submission_id: str) -> dict[str, Any]:
        """Return the submission with its timeline and checks."""
        return self._call("GET", f"/api/v1/submissions/{submission_id}/")

    def _authorise(self) -> None:
        response = self._send(
            "POST",
            "/o/token/",
            data={"grant_type": "client_credentials", "scope": self.scopes},
            auth=(self._credentials.client_id, self._credentials.client_secret),
        )
        if response.status_code in (400, 401):
            raise PartnerError(
                "The site does not accept this client id and secret. Look them up in the partner portal under "
                "Applications, or make a new application."
            )
        if response.status_code != 200:
            raise PartnerError(_reason(response))
        self._token = str(response.json()["access_token"])

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        if not self._token:
            self._authorise()
        headers = arguments.pop("headers", {})
        response = self._send(
            method, path, headers={**headers, "Authorization": f"Bearer {self._token}"}, **arguments
        )
        if response.status_code == 401 and method == "GET":  # the token ran out while following a submission
            self._authorise()
            response = self._send(
                method, path, headers={"Authorization": f"Bearer {self._token}"}, **arguments
            )
        if response.status_code >= 400:
            raise PartnerError(_reason(response))
        try:
            answer = response.json()
        except ValueError as error:
            raise PartnerError(
                "The site did not answer in JSON. Is the address the one of OpenClaw?"
            ) from error
        return dict(answer)

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.ConnectError as error:
            raise PartnerError(
                f"No site answers at {self._credentials.url}. Is the address right, and is it up?"
            ) from error
        except httpx.HTTPError as error:
            raise PartnerError(
                f"The connection to {self._credentials.url} failed: {error}. Try again."
            ) from error


def _reason(response: httpx.Response) -> str:
    """Read problem details (RFC 9457) as sentences."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    lines = [str(problem[key]) for key in ("detail", "hint") if problem.get(key)] or [
        str(
            problem.get("title")
            or problem.get("error_description")
            or f"The site answered {response.status_code}."
        )
    ]
    for entry in problem.get("errors") or ():
        lines.append(
            str(entry.get("detail") or entry.get("message") or entry)
            if isinstance(entry, dict)
            else str(entry)
        )
    return "\n".join(lines)
