"""What holds for the tree as a whole: what processes import, how big files are, and what no file may name."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.site.meta.product import CHECKOUT

LONGEST = 500
HEAVY = ("torch", "sklearn", "onnxscript", "tritonclient", "pytest")
SERVING = ["openclaw_site.asgi", "openclaw_site.celery"]


def tracked(*patterns: str) -> list[str]:
    """Files under version control and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.fail("These tests read the list of files from git; run them in a clone.")
    return [name for name in listed.stdout.splitlines() if (CHECKOUT / name).is_file()]


@pytest.mark.parametrize("module", SERVING)
def test_processes_that_serve_never_import_what_only_training_and_tests_need(module: str):
    program = f"""
import importlib, sys, django
django.setup()
importlib.import_module({module!r})
from django.urls import get_resolver
get_resolver().url_patterns
from celery import current_app
current_app.loader.import_default_modules()
print(",".join(name for name in {HEAVY!r} if name in sys.modules))
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "", "imported, but heavy"


def test_no_python_file_is_longer_than_a_person_reads():
    long = {
        name: lines
        for name in tracked("*.py")
        if "/migrations/" not in name
        and (lines := len((CHECKOUT / name).read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long


def test_no_file_names_a_place_on_one_machine():
    # Written apart, so that this file does not name one itself.
    places = re.compile("/" + r"(?:work|root|home/\w+|Users/\w+)/|" + r"C:\\\\Users")
    found = {}
    for name in tracked():
        try:
            text = (CHECKOUT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if hit := places.search(text):
            found[name] = text[max(0, hit.start() - 40) : hit.end() + 40]
    assert not found


def test_nothing_is_left_for_later_in_the_code():
    words = re.compile(r"#.*\b(TO" + r"DO|FIX" + r"ME)\b")
    assert not [n for n in tracked("*.py") if words.search((CHECKOUT / n).read_text(encoding="utf-8"))]


def test_no_rule_of_the_linters_is_switched_off_without_naming_it():
    bare = re.compile(r"#\s*(type:\s*ignore(?!\[)|noqa(?!:))")
    assert not [n for n in tracked("*.py") if bare.search((CHECKOUT / n).read_text(encoding="utf-8"))]


def test_no_file_holds_a_key_or_a_dump():
    forbidden = re.compile(r"\.(pem|key|p12|sqlite3|dump|pkl|whl|so)$")
    assert not [name for name in tracked() if forbidden.search(name)]
