"""Policy texts: good ones fit the schema, bad ones are refused with a place and a way out, hostile ones harm nobody."""

from __future__ import annotations

import json
import threading

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.access.cedar import schema
from governance.access.cedar.engine import RULES, PolicyBook
from governance.access.cedar.requests import CONTEXT, FACTS, request_of
from governance.access.cedar.text import MAX_BYTES, MAX_DEPTH, MAX_OPERATORS, statements, tokens
from governance.access.conditions import Question
from governance.access.rules import names_of, registered_actions
from governance.errors import InvalidInput
from governance.ids import uuid7
from governance.policies.validation import book_of, problems_of
from governance.principals import Principal, Role
from governance.refs import ObjectRef

SCOPE = 'forbid (principal, action in Action::"administer", resource)'
GOOD = f'@id("a") {SCOPE};'
BEGIN = '@id("a") forbid (principal, action, resource) when { '


PIECES = [
    *'()[]{};:=<>!&|+-*.,@"/ \n',
    "\\",
    "é",
    "forbid ",
    "permit",
    "when",
    "Action::",
    "principal",
    " has ",
]


@pytest.mark.parametrize("path", sorted(RULES.glob("*.cedar")), ids=lambda path: path.stem)
def test_the_shipped_rules_fit_the_schema(path):
    assert schema.validate(path.read_text(encoding="utf-8")) == []


def test_the_schema_knows_every_action_and_every_fact_that_a_request_carries():
    text = schema.schema_text()
    for name in registered_actions():
        assert json.dumps(name) in text
    who = Principal("user", "1", "one", tenant_id=uuid7(), roles=frozenset({Role.TENANT_ADMIN}))
    values = {str: "x", int: 1, list: ["x"]}
    context = {name: values[kind] for name, kind in CONTEXT.items()}
    facts = {name: ["health"] if name == "subjects" else "x" for name in FACTS}
    for action in ("policies.version.activate", "audit.entry.view"):
        names = names_of(action)
        question = Question(who, action, ObjectRef("a.b", "1"), who.tenant_id, context)
        request = request_of(question, groups=names - {action}, facts=facts)
        result = cedarpy.is_authorized(
            {key: request[key] for key in ("principal", "action", "resource", "context")},
            "permit (principal, action, resource);",
            request["entities"],
            schema=schema.schema_text(),
        )
        assert result.allowed, result.diagnostics.errors


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "help_"),
    [
        ("\n\n" + GOOD.replace("action in", "action"), 3, 36, "unexpected token", "A policy looks like this"),
        (GOOD.rstrip(";"), 1, 69, "unexpected end of input", "End every policy with a semicolon"),
        (f'{GOOD}\n@id("b") forbid (principal);', 2, 1, "missing", ""),
        (GOOD.replace("administer", "administerr"), 1, 47, "no action or group", "Did you mean: administer"),
        (f"{BEGIN}\n context.amount > 3 }};", 2, 10, "not always known", "context has amount && …"),
        (f"{BEGIN}\n resource.lable == 3 }};", 2, 11, "Nothing is known under the name “lable”", "label"),
        (f"{BEGIN} principal == Person::\"x\" }};", 1, 68, "no kind of thing “Person”", "User"),
        (GOOD.replace('"a"', '"a'), 1, 57, "in quotes has no end", "Close it"),
        (GOOD.replace("@id", "@id @id"), 1, 1, "duplicate annotation", "once"),
        (GOOD.replace('@id("a") ', ""), 1, 1, "every policy needs an @id", 'Write @id("a-name")'),
        (GOOD.replace('"a"', '"openclaw.mine"'), 1, 1, "the product's own", "Choose another"),
        (GOOD.replace('"a"', '"A b"'), 1, 1, "cannot be the @id", "lower-case"),
        (f"{GOOD}\n{GOOD}", 2, 1, "same @id", "its own name"),
        (GOOD.replace("forbid", "permit"), 1, 1, "permit changes nothing", "Write a forbid"),
        (f'@obligation("x") {GOOD}', 1, 1, "no duty", "on a permit"),
        (f'@obligation("Do it") {GOOD.replace("forbid", "permit")}', 1, 1, "is not a duty", "person-confirms"),
        (f'@step_up("9") {GOOD}', 1, 1, "from 1 to 3", "2 900"),
        (f'@step_up("high") {GOOD}', 1, 1, "LEVEL SECONDS", ""),
        (GOOD.replace("(principal,", "(?principal,"), 1, 18, "?principal", ""),
        ("a\x00b", 1, 1, "zero byte", "plain text"),
    ],
)  # fmt: skip
def test_a_mistake_has_a_place_and_a_way_out(text, line, column, message, help_):
    first = problems_of(text)[0]
    assert message.lower() in first.message.lower()
    assert help_ in first.help
    assert (first.line, first.column) == (line, column)
    with pytest.raises(InvalidInput) as refused:
        book_of(text)
    assert refused.value.errors[0]["line"] == line


def test_the_short_schema_finds_what_the_whole_one_does(monkeypatch):
    texts = [
        f"{BEGIN} {condition} }};"
        for condition in (
            "resource.label == 3",
            'action in Action::"approve" && context.amount > 3',
            'action in Action::"approve" && action in Action::"administer" && resource.label == "x"',
            'action == Action::"serving.batch.create" && principal.nothing',
            'action == Action::"no.such.action"',
            "principal is Client && context.hour",
        )
    ]
    short = [[str(problem) for problem in problems_of(text)] for text in texts]
    monkeypatch.setattr(schema, "_schema_for", lambda parts: schema.schema_text())
    assert short == [[str(problem) for problem in problems_of(text)] for text in texts]
    assert any(short)


def test_duties_and_step_ups_are_read():
    text = f"""
        @id("fresh") @step_up("3 60") {SCOPE};
        @id("cap") @obligation("traffic-share-at-most:20")
        permit (principal, action in Action::"release", resource);
    """
    assert not problems_of(text)
    fresh, cap = book_of(text).policies
    assert (fresh.step_up.level, fresh.step_up.max_age_s) == (3, 60)
    assert cap.obligation == "traffic-share-at-most:20"
    assert not problems_of("")
    assert not problems_of("// nothing but words; and a semicolon")


HOSTILE = {
    "brackets": lambda n: BEGIN + "(" * n + "true" + ")" * n + " };",
    "not": lambda n: BEGIN + "!(" * n + "true" + ")" * n + " };",
    "sets": lambda n: BEGIN + "[" * n + "1" + "]" * n + " == [1] };",
    "records": lambda n: BEGIN + "{a:" * n + "1" + "}" * n + " == 1 };",
    "if": lambda n: BEGIN + "if true then " * n + "true" + " else false" * n + " };",
    "and": lambda n: BEGIN + " && ".join(["true"] * n) + " };",
    "plus": lambda n: BEGIN + "1" + " + 1" * n + " == 3 };",
    "dots": lambda n: BEGIN + "context" + ".a" * n + " };",
    "calls": lambda n: BEGIN + "context.a" + ".contains(context.a" * n + ")" * n + " };",
    "when": lambda n: BEGIN + " true }" + " when { true }" * n + ";",
    "open": lambda n: "(" * n,
    "marks": lambda n: ";" * n,
    "quotes": lambda n: '"' * n,
    "annotations": lambda n: '@a("b")' * n,
    "policies": lambda n: GOOD * n,
}


@pytest.mark.parametrize("size", [60, 3_000, 40_000, 1_000_000])
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_are_refused_on_a_small_stack(name, size):
    """Cedar's parser would end the process on these. A thread's stack is what a worker has."""
    text = HOSTILE[name](size)[: MAX_BYTES + 1]
    found: list = []
    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.append(problems_of(text)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert len(found) == 1, "the check itself failed"
    if size > 60:
        assert found[0]


def test_what_the_limits_allow_can_be_evaluated():
    deep = BEGIN + "(" * (MAX_DEPTH - 3) + "true" + ")" * (MAX_DEPTH - 3) + " };"
    wide = "[" + ", ".join(f'"{n}"' for n in range(2_000)) + "]"
    long = f'@id("b") forbid (principal, action, resource) when {{ {wide}.contains(resource.tenant) }};'
    book = book_of(deep + long)
    who = Principal("user", "1", "one", tenant_id=uuid7())
    request = request_of(Question(who, "a.b", None, None, {}), groups=(), facts={})
    verdict = book.evaluate(request, frozenset({"a.b"}))
    assert not verdict.errors
    assert [policy.id for policy in verdict.policies] == ["a"]
    assert MAX_OPERATORS > 100


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_text_is_either_good_or_refused_within_its_own_lines(text):
    problems = problems_of(text)
    lines = text.count("\n") + 1
    for problem in problems:
        assert 1 <= problem.line <= lines
        assert problem.message
    if not problems:
        PolicyBook.parse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='ab"\\ \n/;(){}.&|=@é', max_size=80))
def test_tokens_have_the_places_that_they_say(text):
    lines = text.split("\n")
    for token in tokens(text):
        assert text[token.start : token.end] == token.text
        assert lines[token.line - 1][token.column - 1 :].startswith(token.text.split("\n")[0])
    cut = [token for part in statements(text) for token in part.tokens]
    assert cut == list(tokens(text))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_broken_policy_is_found_where_it_was_broken(data):
    words = ["@id", "(", '"a"', ")", "forbid", "(", "principal", ",", "action", ",", "resource", ")", ";"]
    at = data.draw(st.integers(4, len(words) - 2))
    broken = [*words[:at], "§", *words[at:]]
    problem = problems_of("\n".join(broken))[0]
    assert problem.line == at + 1
