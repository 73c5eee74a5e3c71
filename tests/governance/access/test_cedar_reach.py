"""What of a request a policy can look at: never less than what its answer depends on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.access.cedar.engine import PolicyBook, parse
from governance.access.cedar.reach import Reach, reach_of, seen_of

NAMES = frozenset({"a.b.view"})


@pytest.mark.parametrize(
    ("policy", "attributes", "whole"),
    [
        ("forbid (principal, action, resource);", set(), set()),
        ("forbid (principal is User, action, resource is Resource);", set(), set()),
        ('forbid (principal == User::"1", action, resource);', set(), {"principal"}),
        ('forbid (principal is User in User::"1", action, resource);', set(), {"principal"}),
        ('forbid (principal, action, resource in Resource::"x");', set(), {"resource"}),
        (
            "forbid (principal, action, resource) when { principal.assurance < 2 && context has amount };",
            {("principal", "assurance"), ("context", "amount")},
            set(),
        ),
        (
            'forbid (principal, action, resource) when { [principal.roles].contains(["x"]) };',
            {("principal", "roles")},
            set(),
        ),
        (
            "forbid (principal, action, resource) unless { resource has owner && context == {now: 1} };",
            {("resource", "owner")},
            {"context"},
        ),
        (
            'forbid (principal, action, resource) when { (if true then principal else resource).tenant == "" };',
            set(),
            {"principal", "resource"},
        ),
    ],
)
def test_uses_are_found_wherever_they_stand(policy, attributes, whole):
    assert reach_of(parse(f'@id("p") {policy}')) == Reach(frozenset(attributes), frozenset(whole))


def request(who, level, roles, amount, label):
    user, thing = {"type": "User", "id": who}, {"type": "Resource", "id": "t:1"}
    return {
        "principal": user,
        "action": {"type": "Action", "id": "a.b.view"},
        "resource": thing,
        "context": {"now": 1, "amount": amount},
        "entities": [
            {"uid": user, "attrs": {"assurance": level, "roles": roles}, "parents": []},
            {"uid": thing, "attrs": {"label": label}, "parents": []},
            {"uid": {"type": "Action", "id": "a.b.view"}, "attrs": {}, "parents": []},
        ],
    }


requests = st.builds(
    request,
    st.sampled_from(["1", "2"]),
    st.integers(0, 3),
    st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
    st.integers(0, 3),
    st.sampled_from(["public", "restricted"]),
)
policies = st.lists(
    st.sampled_from(
        [
            "principal.assurance < 2",
            'principal.roles.contains("x")',
            "context.amount > 1",
            'resource.label == "restricted"',
            'principal == User::"1"',
            "context == {now: 1, amount: 2}",
            'resource has label && (if principal.assurance > 1 then resource.label else "public") == "public"',
        ]
    ),
    min_size=1,
    max_size=3,
)


@given(one=requests, other=requests, conditions=policies)
def test_what_looks_alike_is_answered_alike(one, other, conditions):
    book = PolicyBook.parse(
        *(
            f'@id("p{number}") forbid (principal, action, resource) when {{ {condition} }};'
            for number, condition in enumerate(conditions)
        )
    )
    reach = reach_of(book.policies)
    if seen_of(one, reach) == seen_of(other, reach):
        first, second = book.evaluate(one, NAMES), book.evaluate(other, NAMES)
        assert (first.allow, first.policies, bool(first.errors)) == (
            second.allow,
            second.policies,
            bool(second.errors),
        )
