"""The REST API against what its own OpenAPI document allows, and what it does not: whatever comes, never a 5xx.

schemathesis makes the calls from the document that the live site serves. Each is sent as four callers, and once more
with the id of a thing that exists, so that the code behind the first 404 is reached as well.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema

from openclaw_site.demo.clients import Caller, Program
from openclaw_site.demo.people import PARTNER_USER
from tests.live.site import LiveSite

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::Warning"),  # those of the generators, about our document's strategies
]

EXAMPLES = 3
# Where the ids of things that exist can be read, by the beginning of an operation's path.
LISTS = (
    "applications", "audit-entries", "batch-jobs", "endpoints", "ethics-approvals", "installations", "model-versions",
    "models", "partner-applications", "plugin-versions", "plugins", "skills", "submissions",
)  # fmt: skip
# These would take away what the other calls need: the callers' own rights.
LEFT_ALONE = {"/api/v1/applications/{id}/disable/"}


@pytest.fixture(scope="module")
def callers(played: LiveSite) -> Iterator[dict[str, Caller]]:
    """A session of a tenant's administrator, a partner and a reviewer, and a program with every scope."""
    with ExitStack() as stack:
        people = {
            name: stack.enter_context(played.person(name))
            for name in ("tenant-admin", PARTNER_USER, "reviewer", "administrator")
        }
        scopes = [
            "models:infer",
            "models:read",
            "batch:write",
            "skills:invoke",
            "plugins:read",
            "tenant:manage",
        ]
        made = people["tenant-admin"].post(
            "/api/v1/applications/", {"name": "fuzz", "scopes": scopes}, status=201
        )
        program = Program(
            played.url, label="fuzz", client_id=made["client_id"], client_secret=made["client_secret"]
        )
        program.authorise(*scopes)
        yield {**people, "program": stack.enter_context(program)}


@pytest.fixture(scope="module")
def known(callers: dict[str, Caller]) -> dict[str, list[dict[str, Any]]]:
    """Things that exist, by list."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in LISTS:
        for caller in callers.values():
            answer = caller.send("GET", f"/api/v1/{name}/")
            if answer.status_code == 200 and (rows := answer.json()["results"]):
                found.setdefault(name, rows[:5])
    return found


@pytest.fixture(scope="module")
def document(played: LiveSite) -> OpenApiSchema:
    """The document that the site serves."""
    return schemathesis.openapi.from_url(f"{played.url}/api/schema/", config=SchemathesisConfig())


def test_whatever_the_document_allows_is_never_answered_with_5xx(
    document: OpenApiSchema, callers: dict[str, Caller], known: dict[str, list[dict[str, Any]]]
) -> None:
    failures: list[str] = []
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) > 50
    for operation in operations:
        if operation.path not in LEFT_ALONE:
            _try(operation, callers, known, failures)
    assert not failures, "\n".join(sorted(set(failures)))


def _try(operation: Any, callers: dict[str, Caller], known: Any, failures: list[str]) -> None:
    @hypothesis.seed(20260101)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def every_caller(case: Any) -> None:
        for name, caller in callers.items():
            _send(case, name, caller)
            if _point_at_something(case, known):
                _send(case, name, caller)

    def _send(case: Any, name: str, caller: Caller) -> None:
        headers = caller.headers(case.method.upper())
        answer = case.call(
            base_url=caller.url, headers=headers, cookies=dict(caller.http.cookies), timeout=30
        )
        if answer.status_code >= 500 and not _says_that_nothing_is_served(answer):
            body = f"{case.path_parameters} {case.query} {case.body!r}"[:500]
            failures.append(
                f"{answer.status_code} {case.method} {case.formatted_path} as {name}: {body}\n{answer.text[:300]}"
            )

    every_caller()


def _says_that_nothing_is_served(answer: Any) -> bool:
    """Other calls of this run stop and remove things: an endpoint left without a version says so, and when to retry."""
    return (
        answer.status_code == 503
        and "retry-after" in {name.lower() for name in answer.headers}
        and answer.json()["detail"].endswith("no version at present")
    )


def _point_at_something(case: Any, known: dict[str, list[dict[str, Any]]]) -> bool:
    """Put real ids in the place of made-up ones; False where the path has none, or nothing of the kind exists."""
    rows = known.get(case.path.removeprefix("/api/v1/").split("/")[0])
    if not case.path_parameters or not rows:
        return False
    row = random.Random(str(case.path_parameters)).choice(rows)
    for name in case.path_parameters:
        value = row.get(name, row.get("id") if name.endswith("id") else None)
        if value is not None:
            case.path_parameters[name] = str(value)
    return True
