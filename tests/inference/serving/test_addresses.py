"""The declared addresses are those that the application tells apart, no more and no fewer."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator

import httpx
import pytest

from inference.serving.addresses import ACT, ADDRESSES, READ, Address
from inference.serving.application import InferenceApplication
from tests.inference.serving import fake_site_values as site

METHODS = (*READ, *ACT, "PUT", "PATCH", "DELETE", "OPTIONS")
TOKEN = {"Authorization": f"Bearer {site.TOKEN}"}


def literals(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def told_apart() -> set[str]:
    """Every word of a path that the code looks for: those of the patterns, and those that `rest` is compared with."""
    words: set[str] = set()
    for function in (InferenceApplication._dispatch, InferenceApplication._describe):
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.match_case):
                words |= set(literals(node.pattern))
            elif isinstance(node, ast.Compare) and "rest" in ast.dump(node.left):
                words |= {word for part in node.comparators for word in literals(part)}
    return words - {""}


def declared() -> set[str]:
    paths = (address.path.removeprefix("/v2").split("/") for address in ADDRESSES)
    return {word for path in paths for word in path if word and not word.startswith("{")}


def test_every_word_that_the_application_knows_is_declared():
    assert {"infer", "index", "load", "stats", "config", "versions"} <= told_apart()
    assert told_apart() == declared()
    assert len(set(ADDRESSES)) == len(ADDRESSES)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.path)
def test_each_answers_its_methods_and_no_others(served: str, address: Address) -> None:
    url = f"http://{served}{address.of('split', '3.0.0')}"
    for method in METHODS:
        answer = httpx.request(method, url, headers=TOKEN)
        if method in address.methods:
            # No body is a bad request where one is needed, and loading needs a right: both mean that it is there.
            assert answer.status_code not in (404, 405), method
        else:
            assert answer.status_code == 405, method
            assert answer.headers["allow"] in address.methods
        if not address.anonymous and method in address.methods:
            assert httpx.request(method, url).status_code == 401


@pytest.mark.parametrize("path", ["/v2/nothing", "/v2/models", "/v2/models/split/versions/3.0.0/nothing"])
def test_there_is_nothing_beside_them(served: str, path: str) -> None:
    assert httpx.get(f"http://{served}{path}", headers=TOKEN).status_code in (404, 405)
