"""Cedar text before Cedar reads it: tokens with their places, and limits that keep the parser's stack whole.

Cedar's parser descends once per bracket and operator and does not watch its stack, so deeply nested text would end the
process instead of being refused. Its messages carry no place either; the tokens give them one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BYTES = 256 * 1024
MAX_POLICIES = 2_000
# Measured: a stack of 1 MB holds 50 brackets but not 100, and 1,000 operators but not 4,000.
MAX_DEPTH = 30
MAX_OPERATORS = 400

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<word>\w+)
    |(?P<mark>::|&&|\|\||==|!=|<=|>=|[^\s\w"])
    |(?P<bad>.)""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = frozenset({"&&", "||", "+", "-", "*", "!", ".", "if", "when", "unless", "has", "like"})


@dataclass(frozen=True, slots=True)
class Token:
    """A word, string or mark with its place: `line` and `column` count from 1, `end` is an offset."""

    text: str
    line: int
    column: int
    start: int
    end: int
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy's tokens, up to and with its semicolon."""

    tokens: tuple[Token, ...]

    @property
    def line(self) -> int:
        """The line that it begins on."""
        return self.tokens[0].line

    def text(self, source: str, upto: int | None = None) -> str:
        """Its text, or that of its first `upto` tokens."""
        last = self.tokens[-1] if upto is None else self.tokens[upto - 1]
        return source[self.tokens[0].start : last.end]

    def place_of(self, words: list[str]) -> Token:
        """The first token that is one of `words`, in their order of preference; else the beginning."""
        for word in words:
            for token in self.tokens:
                if token.text.strip('"') == word:
                    return token
        return self.tokens[0]


def tokens(source: str) -> Iterator[Token]:
    """Every token but blanks and comments. A string without an end is one token with `closed` False."""
    line, line_start = 1, 0
    for match in _TOKEN.finditer(source):
        if match.lastgroup != "skip":
            yield Token(
                match[0],
                line,
                match.start() - line_start + 1,
                match.start(),
                match.end(),
                closed=match.lastgroup != "bad",
            )
        if breaks := match[0].count("\n"):
            line += breaks
            line_start = match.start() + match[0].rindex("\n") + 1


def statements(source: str) -> list[Statement]:
    """The text cut at its semicolons; Cedar uses them for nothing else."""
    found: list[Statement] = []
    current: list[Token] = []
    for token in tokens(source):
        current.append(token)
        if token.text == ";":
            found.append(Statement(tuple(current)))
            current = []
    return [*found, Statement(tuple(current))] if current else found


def depth_problem(statement: Statement) -> tuple[Token, str] | None:
    """Where a policy is nested too deeply or strings too much together, and what of it."""
    depth = operators = 0
    for token in statement.tokens:
        if token.text in "([{":
            depth += 1
        elif token.text in ")]}":
            depth -= 1
        elif token.text in _OPERATORS:
            operators += 1
        if depth > MAX_DEPTH:
            return token, "brackets"
        if operators > MAX_OPERATORS:
            return token, "operators"
    return None
