"""How the client speaks with the site: its token (RFC 6749), one call, pages of rows, and what a refusal says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx


class ClientError(Exception):
    """The site refused. `status` is the HTTP status; the text is the site's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Calls:
    """The connection of one application."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str,
        timeout_s: float,
    ) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_s)
        self._credentials = (client_id, client_secret)
        self._scope = scope
        self._token = ""

    def _post(self, path: str, body: dict[str, Any], *, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("POST", path, lambda: {"json": body, "headers": dict(headers or {})}).json()

    def _call(self, method: str, path: str, given: Callable[[], dict[str, Any]] = dict) -> httpx.Response:
        """One call with what `given` makes; a token that has expired is renewed once."""
        for fresh in (False, True):
            if fresh or not self._token:
                self._token = self._authorise()
            arguments = given()
            headers = arguments.pop("headers", {}) | {"Authorization": f"Bearer {self._token}"}
            answer = self._http.request(method, path, headers=headers, **arguments)
            if answer.status_code != 401:
                break
        if not answer.is_success:
            raise ClientError(answer.status_code, problem_of(answer))
        return answer

    def _authorise(self) -> str:
        answer = self._http.post(
            "/o/token/",
            data={"grant_type": "client_credentials", "scope": self._scope},
            auth=self._credentials,
        )
        if not answer.is_success:
            raise ClientError(answer.status_code, problem_of(answer))
        return str(answer.json()["access_token"])

    def _rows(self, path: str) -> Iterator[Any]:
        """Every row of a list, page by page."""
        following: str | None = path
        while following:
            page = self._call("GET", following).json()
            yield from page["results"]
            following = page.get("next")


def problem_of(answer: httpx.Response) -> str:
    """Problem details (RFC 9457), an OAuth 2.0 error, or the beginning of the body."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:300]
    words = [
        str(problem[key]) for key in ("detail", "hint", "error_description", "error") if problem.get(key)
    ]
    return " ".join(words) or str(problem)[:300]
