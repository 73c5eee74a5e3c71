"""What can be done over REST can be done with a token that a person has authorised, or it says here why not.

Generated from the registered rules and the site's addresses: a new action names a scope, or is written down below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.urls import URLPattern, get_resolver

from governance.access.decisions import decide
from governance.access.rules import ActionRule, registered_actions
from governance.access.scopes import OF_PEOPLE, SCOPES
from governance.ids import uuid7
from governance.principals import PLATFORM_ROLES, Principal, Role
from tests.factories.governance import proven

OWN = "one's own factors and sessions are what tokens are judged by: a stolen token must not change them"
PAGE = "a page for people, with nothing in it that the API has not"
VERDICT = "a verdict on somebody else's code is a person's, given in a session"
# What no token may do, and why.
IN_A_SESSION = {
    "access.token.authorize": "a token that gives out tokens would outlive its own end",
    "identity.account.view": OWN,
    "identity.factor.manage": OWN,
    "identity.own-session.end": OWN,
    "privilege.glass.break": "who breaks the glass is there in person, with two factors minutes old",
    "review.submission.ask": VERDICT,
    "review.submission.claim": VERDICT,
    "review.submission.decide": VERDICT,
    "review.submission.inspect": VERDICT,
    "site.console.applications": PAGE,
    "site.console.open": PAGE,
    "site.house.view": PAGE,
    "site.portal.open": PAGE,
}


def of_people() -> dict[str, ActionRule]:
    """Every rule of something that a person may do at all."""
    return {
        name: rule
        for name, rule in registered_actions().items()
        if not rule.anonymous and set(rule.roles) - {Role.SYSTEM}
    }


def endpoints() -> Iterator[tuple[str, str]]:
    """Every address of the API with the actions that its methods stand behind."""

    def walk(patterns, prefix):
        for entry in patterns:
            route = prefix + str(entry.pattern)
            if not isinstance(entry, URLPattern):
                yield from walk(entry.url_patterns, route)
                continue
            decisions = getattr(getattr(entry.callback, "cls", None), "decisions", {})
            served = getattr(entry.callback, "actions", None)
            names = set(served.values()) & set(decisions) if served else decisions
            yield from ((route, decisions[name]) for name in names)

    yield from walk(get_resolver().url_patterns, "")


def test_there_is_something_to_look_at():
    assert len(of_people()) > 100
    assert len({action for _route, action in endpoints()}) > 60


def test_every_action_names_a_scope_or_a_reason():
    without = {name for name, rule in of_people().items() if not rule.scopes_of("user")}
    assert without == set(IN_A_SESSION), "name a scope, or say in IN_A_SESSION why no token may do it"


def test_every_endpoint_can_be_used_with_a_token_or_says_why_not():
    rules = registered_actions()
    shut = {
        f"{route}: {action}"
        for route, action in endpoints()
        if not rules[action].anonymous and not rules[action].scopes_of("user") and action not in IN_A_SESSION
    }
    assert not shut


def test_every_scope_is_known_and_opens_something():
    named = {scope for rule in registered_actions().values() for scope in rule.scopes | rule.person_scopes}
    assert named == set(SCOPES)
    personal = {scope for rule in registered_actions().values() for scope in rule.person_scopes}
    by_programs = {
        scope for rule in of_people().values() if len(rule.scopes) < len(SCOPES) for scope in rule.scopes
    }
    assert personal >= OF_PEOPLE
    assert not OF_PEOPLE & by_programs


def acting(kind: str, role: Role, scopes: frozenset[str] | None) -> Principal:
    tenant = uuid7()
    return Principal(
        kind,  # type: ignore[arg-type]
        str(uuid7()),
        "somebody",
        tenant_id=tenant,
        roles=frozenset({role}),
        scopes=scopes,
        user_id=uuid7(),
        accountable_user_id=uuid7(),
        platform=role in PLATFORM_ROLES,
        signals=proven(),
    )


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(name for name, rule in of_people().items() if rule.person_scopes))
def test_only_a_persons_token_with_the_scope_does_what_a_person_may(name):
    rule = of_people()[name]
    role = sorted(set(rule.roles) - {Role.SYSTEM})[0]
    person = acting("user", role, frozenset(rule.person_scopes))
    in_a_session = replace(person, scopes=None)
    assert decide(person, name).allow == decide(in_a_session, name).allow
    others = frozenset(SCOPES) - rule.person_scopes - rule.scopes
    assert not decide(replace(person, scopes=others), name).allow
    assert decide(replace(person, scopes=others), name).rules == ("scope",)
    # Every scope and every role: a program does not administer.
    program = replace(person, kind="client", scopes=frozenset(SCOPES), roles=frozenset(rule.roles))
    assert decide(program, name).rules == ("scope",)
    stranger = replace(person, roles=frozenset({Role.SERVICE}))
    assert not decide(stranger, name).allow
