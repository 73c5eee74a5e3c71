"""Every address of the site as a tenant's people may ask it, and answers in a form that two of them can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.test import Client
from django.urls import URLPattern, get_resolver

from tests.site.meta.test_endpoint_permissions import GENERATED, SKIPPED, methods_of

PARAMETER = re.compile(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>")
# What the site says about itself is nobody's secret and changes by the second.
LEFT_OUT = re.compile(
    r"^(health/|metrics|api/schema|api/docs|static/|o/|accounts?/|login|logout|reauth|language|events/)"
)
VOLATILE = (
    (re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"'), "csrf"),
    (re.compile(r'X-CSRFToken": "[^"]*"'), "csrf"),
    (re.compile(r'nonce="[^"]*"'), "nonce"),
    # Figures of the last quarter of an hour, which fall as it passes.
    (re.compile(r'(?:Requests per second|Latency[^<]*|Errors[^<]*)</dt><dd class="value">[^<]*'), "a figure"),
    (re.compile(r"(?:, top|highest|lowest) [\d.]+(?: ms)?"), "a figure"),
    (re.compile(r'points="[^"]*"'), "a curve that moves with the clock"),
    (re.compile(r"\b(?:now|just now|(?:\d+|an?)\W{1,6}(?:second|minute)s?(?:\W{1,6}ago)?)\b"), "a moment"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?"), "a time"),
    (re.compile(r'"factor_age_s":\d+'), "an age"),
    (re.compile(r"\d{1,2}:\d{2}(?::\d{2})?(?: [ap]\.m\.)?"), "a time"),
)


def routes() -> dict[str, tuple[tuple[str, ...], str]]:
    """Every route with the methods it may implement and the label of the app whose view it is."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}

    def walk(patterns: list, prefix: str) -> None:
        for entry in patterns:
            route = prefix + str(entry.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
            if not isinstance(entry, URLPattern):
                walk(entry.url_patterns, route)
            elif not LEFT_OUT.match(route) and "format" not in route:
                view = getattr(entry.callback, "cls", None) or entry.callback
                admin = re.match(r"^console/([a-z]+)/[a-z]+/", route)
                module = view.__module__.split(".")
                label = admin[1] if admin and SKIPPED.match(route) else module[1] if len(module) > 1 else ""
                found.setdefault(route, (methods_of(entry.callback), label))

    walk(get_resolver().url_patterns, "")
    return found


def plain() -> list[str]:
    """Addresses that need no object."""
    return sorted(
        f"/{route}"
        for route in routes()
        if not PARAMETER.search(route) and "(" not in route and not route.endswith("/add/")
    )


def of_objects() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Route, methods and app label of every address that names an object by its id."""
    for route, (methods, label) in routes().items():
        parameters = [a or b for a, b in PARAMETER.findall(route)]
        if parameters and label and not GENERATED.match(route):
            yield route, methods, label


def filled(route: str, object_id: object) -> str:
    """The address of the object."""
    return "/" + PARAMETER.sub(lambda _match: str(object_id), route).replace("\\Z", "").replace("\\", "")


def ask(client: Client, method: str, address: str) -> tuple[int, str]:
    """Status and text of the answer, without what differs between any two answers."""
    client.cookies.pop("messages", None)  # what was said about the request before is no part of this answer
    response = client.generic(
        method, address, "{}" if method != "GET" else "", content_type="application/json"
    )
    body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
    text = body.decode("utf-8", "replace") + str(response.headers.get("Location", ""))
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return response.status_code, text
