"""The token file: read strictly at the start, safely later, and never a token in it."""

from __future__ import annotations

import logging
import os
import string
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.serving.standalone.tokens import TokenFile, TokenFileError, TokenLine, digest_of, new_token

NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)


@given(NAMES, st.lists(NAMES, max_size=4), st.none() | st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_a_new_token_is_known_by_its_line_alone(name: str, endpoints: list[str], until: date | None):
    token, line = new_token(name=name, endpoints=endpoints, until=until)
    read = TokenLine.parse(line)
    assert token not in line
    assert read.digest == digest_of(token)
    assert read.name == name
    assert read.endpoints == (frozenset(endpoints) or None)
    if until is not None:
        last_moment = datetime(until.year, until.month, until.day, 23, 59, 59, tzinfo=UTC)
        assert 0 < read.until - last_moment.timestamp() <= 1


@given(st.text())
def test_a_line_is_read_or_refused_without_telling_what_it_holds(text: str):
    try:
        line = TokenLine.parse(text)
    except ValueError as error:
        assert len(text) < 80 or text not in str(error)
    else:
        assert len(line.digest) == 64


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("abc billing *", "64 lower-case hexadecimal"),
        ("A" * 64 + " billing *", "64 lower-case hexadecimal"),
        ("a" * 64 + " billing", "DIGEST NAME ENDPOINTS"),
        ("a" * 64 + " ../billing *", "the name takes"),
        ("a" * 64 + " billing a,,b", "names with commas"),
        ("a" * 64 + " billing a/b", "names with commas"),
        ("a" * 64 + " billing * tomorrow", "YYYY-MM-DD"),
        ("a" * 64 + " billing * 2027-01-01 more", "DIGEST NAME ENDPOINTS"),
    ],
)
def test_the_server_does_not_start_on_a_bad_line(tmp_path: Path, line: str, said: str):
    path = tmp_path / "tokens"
    path.write_text(f"# callers\n\n{line}\n")
    with pytest.raises(TokenFileError, match="line 3") as caught:
        TokenFile(path)
    assert said in str(caught.value)


def test_the_server_does_not_start_without_tokens(tmp_path: Path):
    with pytest.raises(TokenFileError, match="cannot be read"):
        TokenFile(tmp_path / "none")
    (tmp_path / "empty").write_text("# nobody yet\n")
    with pytest.raises(TokenFileError, match="has no token"):
        TokenFile(tmp_path / "empty")
    (tmp_path / "huge").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(TokenFileError, match="larger than"):
        TokenFile(tmp_path / "huge")


def write(path: Path, *lines: str) -> None:
    """Exchange the file as a mounted secret is: another file takes its place."""
    draft = path.with_name("draft")
    draft.write_text("\n".join(lines))
    os.replace(draft, path)


def test_a_change_gives_and_takes_access_and_a_typing_error_does_neither(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "tokens"
    (one, first), (two, second), (three, third) = (
        new_token(name=name, endpoints=[]) for name in ("a", "b", "c")
    )
    write(path, first, second)
    tokens = TokenFile(path)
    stays = tokens.caller(one)
    assert stays is not None
    stays.in_flight = 7
    assert tokens.caller(three) is None

    with caplog.at_level(logging.ERROR):
        write(path, first, third, "not a line")
        tokens.refresh()
    assert tokens.caller(one) is stays, "its open requests are still counted"
    assert tokens.caller(two) is None
    assert tokens.caller(three) is not None
    assert "line 3" in caplog.text
    assert not {digest_of(one), one, three} & set(caplog.text.split())

    path.unlink()
    tokens.refresh()
    assert tokens.caller(one) is tokens.caller(three) is None
    write(path, first)
    tokens.refresh()
    assert tokens.caller(one) is not None


def test_the_same_digest_twice_is_a_mistake(tmp_path: Path):
    _token, line = new_token(name="a", endpoints=["x"])
    write(tmp_path / "tokens", line, line.replace(" a ", " b "))
    with pytest.raises(TokenFileError, match="same digest"):
        TokenFile(tmp_path / "tokens")


def test_yesterdays_token_has_ended(tmp_path: Path):
    today = datetime.now(UTC).date()
    lines = {}
    for name, last in (("old", today - timedelta(days=1)), ("new", today + timedelta(days=1))):
        token, line = new_token(name=name, endpoints=[], until=last)
        lines[token] = line
    write(tmp_path / "tokens", *lines.values())
    tokens = TokenFile(tmp_path / "tokens")
    old, new = (tokens.caller(token) for token in lines)
    assert old is not None and new is not None
    assert old.expires_at < time.time() < new.expires_at
