"""What the documents say is there: links, sections, environment variables and commands."""

from __future__ import annotations

import argparse
import re
from functools import cache
from pathlib import Path

import click
import pytest
from django.core.management import get_commands, load_command_class

from openclaw_site.cli import COMMANDS, main
from tests.site.meta.product import CHECKOUT, sources

DOCUMENTS = sorted([*(CHECKOUT / "docs").glob("*.md"), *CHECKOUT.glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
VARIABLE = re.compile(r"\bOPENCLAW_[A-Z0-9_]*[A-Z0-9]\b")
COMMAND = re.compile(r"\bopenclaw ((?:[a-z][a-z-]+)(?: [a-z][a-z|-]+)?)")
CODE = re.compile(r"```sh\n(.*?)```|`([^`\n]+)`", re.DOTALL)


@cache
def anchors(path: Path) -> frozenset[str]:
    """The sections of a document, as links name them."""
    headings = HEADING.findall(path.read_text(encoding="utf-8"))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings)
    kept = ("".join(c for c in text.lower() if c.isalnum() or c in " -_") for text in plain)
    return frozenset(text.replace(" ", "-") for text in kept)


@cache
def known_variables() -> frozenset[str]:
    found = set()
    for path in [*sources("openclaw_site", "governance", "marketplace", "scripts"), CHECKOUT / "Makefile"]:
        found |= set(VARIABLE.findall(path.read_text(encoding="utf-8")))
    return frozenset(found)


@cache
def sub_commands(name: str) -> frozenset[str] | None:
    """What may follow a command's name; None where anything may."""
    command = main.get_command(click.Context(main), name)
    if isinstance(command, click.Group):
        return frozenset(command.commands)
    if name not in get_commands():
        return None
    parser = load_command_class(get_commands()[name], name).create_parser("openclaw", name)
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return frozenset(nested[0].choices) if nested else None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path):
    lost = []
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        place, _hash, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (document.parent / place).resolve() if place else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_variable_is_one_that_the_site_reads(document: Path):
    assert set(VARIABLE.findall(document.read_text(encoding="utf-8"))) <= known_variables()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document: Path):
    unknown = []
    for block, inline in CODE.findall(document.read_text(encoding="utf-8")):
        for words in COMMAND.findall(block or inline):
            name, _space, then = words.partition(" ")
            if name not in COMMANDS:
                unknown.append(words)
                continue
            allowed = sub_commands(name)
            if allowed is not None and then:
                unknown += [words for part in then.split("|") if part not in allowed]
    assert not unknown


def test_what_is_not_there_is_noticed():
    assert "no-such-section" not in anchors(CHECKOUT / "docs" / "operator.md")
    assert "keys-in-a-token" in anchors(CHECKOUT / "docs" / "operator.md")
    assert "OPENCLAW_POOL" in known_variables()
    assert "OPENCLAW_POOLS" not in known_variables()
    assert "no-such-step" not in (sub_commands("keys") or ())
    assert "end-sessions" in (sub_commands("identity") or ())
