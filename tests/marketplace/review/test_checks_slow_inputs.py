"""Inputs made to keep a check busy: each is answered quickly, because sizes are bounded before anything is compared."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketplace.catalog.manifest import ManifestError, parse_manifest
from marketplace.catalog.skillmd import SkillError, parse_skill
from marketplace.review.checks.base import MAX_FINDINGS, CheckContext, CheckStatus, judge, run_check
from marketplace.review.checks.contents import dangerous_kind
from marketplace.review.checks.registry import get_check
from marketplace.review.checks.secrets import tokens
from marketplace.review.checks.skill_definition import hidden_text
from tests.factories.packages import files_with, manifest, write_zip

LIMIT_S = 5.0  # each takes well under a second; without its bound, minutes


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < LIMIT_S


def asked(**network_and_more: Any) -> dict[str, Any]:
    return {
        "network": {"allow": []},
        "files": {"read": [], "write": []},
        "secrets": [],
        "tools": [],
        **network_and_more,
    }


@pytest.mark.parametrize(
    "extension",
    [
        {"permissions": asked(network={"allow": ["a" * 16_000 + "!"] * 15})},
        {"permissions": asked(files={"read": ["a/" * 8_000] * 15, "write": []})},
        {"data_labels": [[{"a": [n]}] if n % 2 else {"b": [n]} for n in range(512)]},
        {"purpose": "a-" * 8_000},
    ],
)
def test_manifests(extension: dict[str, Any]) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(manifest(**extension)).encode())


def test_lists_and_texts_have_a_bound() -> None:
    for data_labels, message in (
        (list(range(513)), "a list or object has more than 512 items"),
        (["a" * 20_000], "a text is longer than 16384 characters"),
    ):
        with pytest.raises(ManifestError, match=message):
            parse_manifest(json.dumps(manifest(data_labels=data_labels)).encode())


def test_front_matter_with_many_keys() -> None:
    with pytest.raises(SkillError):
        parse_skill(b"---\n" + b"".join(b"k%d: 1\n" % n for n in range(1_500)) + b"---\n", folder="x")


@pytest.mark.parametrize(
    "part",
    [
        b"eyJ",
        b".eyJ",
        b"-----BEGIN A ",
        b"a://",
        b"password",
        b"token='",
        b"AKIA",
        b"sk_live",
        b"_-.a",
        b"\xff\x00",
    ],
)
def test_files_that_look_like_credentials_all_over(part: bytes) -> None:
    for kind, _ in tokens(part * ((8 << 20) // len(part))):
        assert kind
        break


@pytest.mark.parametrize("part", ["<!--", "A+/=", "\u200b", "[" * 80])
def test_skill_texts(part: str) -> None:
    for number, _ in enumerate(hidden_text("SKILL.md", part * (60_000 // len(part)))):
        if number > 100:
            break


def test_a_file_of_nothing_but_opcodes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"N" * (3 << 20) + b".")
    assert dangerous_kind(path) == "pickle"


@pytest.mark.parametrize(
    "source", ["x=" + "1+" * 100_000 + "1", "(" * 200_000, "x=" + "-" * 200_000 + "1", "x=a" + ".b" * 100_000]
)
def test_sources_that_nest(tmp_path: Path, source: str) -> None:
    archive = write_zip(tmp_path / "p.zip", files_with({"skills/double/scripts/skill.py": source}))
    with CheckContext(archive=archive) as context:
        assert run_check(get_check("skill-definition"), context).status is CheckStatus.REJECTED


def test_findings_are_bounded(tmp_path: Path) -> None:
    files = {f"{n}/../x": b"" for n in range(500)}
    with CheckContext(archive=write_zip(tmp_path / "p.zip", files)) as context:
        outcome = run_check(get_check("archive-safety"), context)
    assert len(outcome.findings) == MAX_FINDINGS
    assert outcome.measures["findings_left_out"] == 500 - MAX_FINDINGS
    assert judge((), passed="ok").measures == {}
