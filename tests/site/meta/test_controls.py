"""The table of controls is whole and points at things that exist, and the page is what the table says."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from governance.ethics.questionnaires.loading import FRAMEWORKS
from scripts import security_page
from scripts.security_page import ControlsError, Entry, Framework
from tests.site.meta.product import CHECKOUT

ENTRIES = security_page.entries()
SHORTEST_SENTENCE = 40


def code_exists(name: str) -> bool:
    """`module:symbol`, where the symbol may have dots."""
    module, _colon, symbol = name.partition(":")
    try:
        found: object = importlib.import_module(module)
    except ImportError:
        return False
    for part in symbol.split("."):
        if not part or not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@cache
def written_tests(path: Path) -> frozenset[str]:
    """The test functions of a file, as pytest names them; those of a class with the class before them."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, functions):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, functions)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def check_exists(name: str) -> bool:
    """`path::test`, `path::Class::test`, with or without the parameters in brackets."""
    path, _colons, test = name.partition("::")
    file = CHECKOUT / path
    return path.startswith("tests/") and file.is_file() and test.partition("[")[0] in written_tests(file)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.framework} {entry.clause}")
def test_what_an_entry_points_at_exists(entry: Entry):
    assert not [name for name in entry.code if not code_exists(name)]
    assert not [name for name in entry.policies if name not in security_page.policy_files()]
    assert not [name for name in entry.tests if not check_exists(name)]
    for name in (*entry.code, *entry.policies, *entry.tests):
        assert [*entry.code, *entry.policies, *entry.tests].count(name) == 1, name
    for sentence in filter(None, (entry.how, entry.operator)):
        assert len(sentence) >= SHORTEST_SENTENCE, "say it so that a security officer can check it"
        assert sentence.endswith("."), sentence


def test_every_clause_has_an_entry_and_none_has_two():
    assert not security_page.problems(security_page.frameworks(), ENTRIES)


def test_the_questionnaires_frameworks_are_among_them():
    assert set(FRAMEWORKS.values()) <= {framework.name for framework in security_page.frameworks()}


def test_every_shipped_policy_is_named_by_some_clause():
    """A rule that no clause needs would be nobody's to defend."""
    assert set(security_page.policy_files()) == {name for entry in ENTRIES for name in entry.policies}


def test_the_page_is_what_the_table_says():
    page = security_page.PAGE.read_text(encoding="utf-8")
    part = security_page.rendered(security_page.frameworks(), ENTRIES)
    assert security_page.page_with(page, part) == page, "make controls, and commit docs/security.md"


def test_every_place_that_the_threat_model_names_is_there():
    text = (CHECKOUT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|governance)/[^`]+)`", text))
    assert len(named) > 20
    assert not {name for name in named if not (CHECKOUT / name).exists()}


@pytest.mark.parametrize(
    "name",
    [
        "governance.access.decisions:no_such_function",
        "governance.access.decisions:decide.no_such_part",
        "governance.access.decisions:",
        "governance.no_such_module:decide",
    ],
)
def test_code_that_is_not_there_is_noticed(name: str):
    assert not code_exists(name)


@pytest.mark.parametrize(
    "name",
    [
        "tests/site/meta/test_controls.py::test_that_nobody_wrote",
        "tests/site/meta/test_controls.py::check_exists",
        "tests/site/meta/no_such_file.py::test_code_that_is_not_there_is_noticed",
        "tests/governance/access/test_devices.py::test_old_news_change_nothing_and_the_future_is_now",
        "governance/access/decisions.py::decide",
    ],
)
def test_a_test_that_is_not_there_is_noticed(name: str):
    assert not check_exists(name)


def test_tests_are_found_with_parameters_and_in_classes():
    assert check_exists("tests/site/meta/test_controls.py::test_code_that_is_not_there_is_noticed[anything]")
    assert check_exists(
        "tests/governance/access/test_devices.py::TestPosture::test_old_news_change_nothing_and_the_future_is_now"
    )


LAW = Framework("Law", "A law", "https://example.com", "About.", ("Art. 1", "Art. 2"))
MET = {"how": "It is met.", "code": ("a:b",), "tests": ("t::u",)}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([Entry("Law", "Art. 1(3)", "x", **MET)], "Law Art. 2: has no entry"),
        (
            [Entry("Law", "Art. 21", "x", **MET), Entry("Law", "Art. 1", "x", **MET)],
            "Law Art. 2: has no entry",
        ),
        ([Entry("Law", "Art. 1", "x", **MET), Entry("Law", "Art. 1", "y", **MET)], "stands there twice"),
        ([Entry("Other", "Art. 1", "x", **MET)], "not in frameworks.yaml"),
        ([Entry("Law", "Art. 1", "x")], "neither code that meets it nor a reason"),
        ([Entry("Law", "Art. 1", "x", how="It is met.", code=("a:b",))], "needs `how`, `code` and `tests`"),
    ],
)
def test_a_table_that_is_not_whole_is_noticed(entries: list[Entry], said: str):
    assert any(said in problem for problem in security_page.problems([LAW], entries))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not: a list", "must be a list of entries"),
        ("- {framework: Law, clause: Art. 1}", "missing ['title']"),
        ("- {framework: Law, clause: Art. 1, title: x, colour: red}", "unknown ['colour']"),
        ("- {framework: Law, clause: 1.1, title: x}", "every text must be a text"),
        ("- {framework: Law, clause: Art. 1, title: x, tests: a::b}", "`tests` must be a list"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str):
    (tmp_path / "law.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ControlsError, match=re.escape(said)):
        security_page.entries(tmp_path)


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ControlsError):
        security_page.page_with("# Security", "")
