"""Every text of the product exists in Simplified Chinese, with the same placeholders."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
AREAS = ("governance", "inference", "skills", "marketplace", "openclaw_site")
PLACEHOLDER = re.compile(r"%\((\w+)\)[a-z]|%[sd]")
HOW = (
    "Run `django-admin makemessages -l zh_Hans --no-location --ignore=.venv --ignore=var --ignore=tests "
    "--ignore=build --ignore=benchmarks` in the checkout and translate what is new."
)


def first(message: Message) -> str:
    """The source text; of a plural, its singular."""
    return message.id if isinstance(message.id, str) else message.id[0]


def texts(message: Message) -> list[str]:
    """All translations of the message."""
    return [message.string] if isinstance(message.string, str) else list(message.string)


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    with CATALOGUE.open("rb") as file:
        return read_po(file)


def test_nothing_is_untranslated_or_doubtful(catalogue):
    open_texts = [first(m) for m in catalogue if m.id and (m.fuzzy or not all(texts(m)))]
    assert not open_texts, f"{open_texts}\n{HOW}"


def test_placeholders_survive_translation(catalogue):
    wrong = []
    for message in catalogue:
        sources = {
            frozenset(PLACEHOLDER.findall(t))
            for t in ([message.id] if isinstance(message.id, str) else message.id)
        }
        wrong += [
            t for t in texts(message) if message.id and frozenset(PLACEHOLDER.findall(t)) not in sources
        ]
    assert not wrong


def test_the_catalogue_knows_every_text_of_the_sources(catalogue, tmp_path):
    if shutil.which("xgettext") is None:
        pytest.skip("no gettext on this machine; .ci/run installs it")
    for area in AREAS:
        shutil.copytree(ROOT / area, tmp_path / area, ignore=shutil.ignore_patterns("__pycache__", "static"))
    (tmp_path / "locale").mkdir()
    command = ["makemessages", "-l", "zh_Hans", "--no-location", "--verbosity=0"]
    subprocess.run([sys.executable, "-W", "ignore", "-m", "django", *command], cwd=tmp_path, check=True)
    with (tmp_path / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po").open("rb") as file:
        fresh = {first(message) for message in read_po(file) if message.id}
    missing = sorted(fresh - {first(message) for message in catalogue if message.id})
    assert not missing, f"{missing}\n{HOW}"
