"""The table of clauses points at code and tests that exist, and every framework of the questionnaire is in it."""

from __future__ import annotations

import ast
import importlib

import yaml

from governance.ethics.questionnaires.loading import FRAMEWORKS
from tests.site.meta.product import CHECKOUT

TABLE = yaml.safe_load((CHECKOUT / "docs" / "controls" / "ethics.yaml").read_text(encoding="utf-8"))


def test_every_entry_points_at_code_and_tests_that_exist():
    for entry in TABLE:
        assert set(entry) == {"framework", "clause", "title", "code", "tests"}, entry
        module, _colon, symbol = entry["code"].partition(":")
        assert hasattr(importlib.import_module(module), symbol), entry["code"]
        assert entry["tests"], entry
        for test in entry["tests"]:
            path, _colon, name = test.partition("::")
            tree = ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))
            names = {
                node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert name in names, test


def test_every_framework_is_in_the_table_and_no_clause_twice():
    assert {entry["framework"] for entry in TABLE} == set(FRAMEWORKS.values())
    clauses = [(entry["framework"], entry["clause"]) for entry in TABLE]
    assert len(clauses) == len(set(clauses))
