"""Who may call a model server: a file with the SHA-256 of every bearer token and the endpoints that it is good for.

One line per token: `DIGEST NAME ENDPOINTS [UNTIL]`, for example

    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 billing sentiment,intent 2027-06-30

ENDPOINTS is a list with commas, or `*` for all; UNTIL is the last day (UTC) on which the token is good. Blank lines
and lines that begin with `#` say nothing. A token itself is never in the file, so whoever reads it can call nothing.
"""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from governance.principals import Principal, Role
from inference.serving.lookups import Caller
from inference.serving.standalone import metrics
from inference.serving.standalone.manifest import MODEL_NAME

log = logging.getLogger(__name__)

# Everything on a model server belongs to one organisation: whoever runs it.
TENANT = uuid5(NAMESPACE_URL, "openclaw:model-server")
MAX_FILE_BYTES = 4 * 1024 * 1024
TOKEN_BYTES = 32

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class TokenFileError(Exception):
    """The file cannot be used; the message names the line."""


@dataclass(slots=True, eq=False)
class TokenCaller(Caller):
    """The holder of a token. `endpoints` is None where the token is good for all."""

    endpoints: frozenset[str] | None = frozenset()


@dataclass(frozen=True, slots=True)
class TokenLine:
    """What one line says. `until` is in seconds since the epoch."""

    digest: str
    name: str
    endpoints: frozenset[str] | None
    until: float = math.inf

    @classmethod
    def parse(cls, line: str) -> TokenLine:
        """Read `DIGEST NAME ENDPOINTS [UNTIL]`. Raises ValueError that says what is wrong, not what is there."""
        fields = line.split()
        if len(fields) not in (3, 4):
            raise ValueError("it must be DIGEST NAME ENDPOINTS and perhaps UNTIL, with spaces between them")
        digest, name, endpoints = fields[:3]
        if not _DIGEST.fullmatch(digest):
            raise ValueError("the digest must be 64 lower-case hexadecimal digits (the SHA-256 of the token)")
        if not _NAME.fullmatch(name):
            raise ValueError("the name takes up to 64 letters, digits and . _ @ -")
        names = None if endpoints == "*" else frozenset(endpoints.split(","))
        if names is not None and not all(MODEL_NAME.fullmatch(each) for each in names):
            raise ValueError("the endpoints must be names with commas between them, or * for all")
        return cls(digest, name, names, _end_of(fields[3]) if len(fields) == 4 else math.inf)

    def caller(self) -> TokenCaller:
        """The caller who holds this token."""
        principal = Principal(
            "client", self.name, self.name, tenant_id=TENANT, roles=frozenset({Role.SERVICE})
        )
        return TokenCaller(principal, self.until, endpoints=self.endpoints)


class TokenFile:
    """The tokens of a file that is read again when it changes.

    Read strictly at the start. Later a line that cannot be read gives nobody access and takes it from nobody else, and
    a file that is gone gives access to nobody: taking a token away must never fail because of a typing error.
    """

    def __init__(self, path: Path) -> None:
        """Raises TokenFileError when the file cannot be read whole, or has no token."""
        self._path = path
        self._seen: object = None
        self._lines: dict[str, TokenLine] = {}
        self._callers: dict[str, TokenCaller] = {}
        self._seen = self._state()
        lines, mistakes = self._read()
        if mistakes:
            raise TokenFileError(mistakes[0])
        if not lines:
            raise TokenFileError(f"{path} has no token: write at least one line")
        self._believe(lines)

    def caller(self, token: str) -> TokenCaller | None:
        """The holder of a token; None when nobody has it."""
        return self._callers.get(digest_of(token))

    def refresh(self) -> None:
        """Read the file again if it changed. Blocking."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            lines, mistakes = self._read()
        except TokenFileError as error:
            log.error("%s: no token is accepted any more", error)
            lines, mistakes = {}, []
        for mistake in mistakes:
            log.error("%s: the line is passed over", mistake)
        self._believe(lines)
        log.info("%s changed: %d tokens are accepted", self._path, len(lines))

    def _state(self) -> object:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> tuple[dict[str, TokenLine], list[str]]:
        try:
            with self._path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise TokenFileError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) > MAX_FILE_BYTES:
            raise TokenFileError(f"{self._path} is larger than {MAX_FILE_BYTES} bytes")
        lines: dict[str, TokenLine] = {}
        mistakes = []
        for number, text in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            try:
                line = TokenLine.parse(text)
                if line.digest in lines:
                    raise ValueError("another line has the same digest")
            except ValueError as error:
                mistakes.append(f"{self._path}, line {number}: {error}")
            else:
                lines[line.digest] = line
        return lines, mistakes

    def _believe(self, lines: Mapping[str, TokenLine]) -> None:
        """Put the lines in force at once. Callers whose line is as it was keep their count of open requests."""
        callers = {
            digest: self._callers[digest] if self._lines.get(digest) == line else line.caller()
            for digest, line in lines.items()
        }
        self._lines, self._callers = dict(lines), callers
        metrics.TOKENS.set(len(callers))


def digest_of(token: str) -> str:
    """The SHA-256 of a token, as the file has it."""
    return sha256(token.encode()).hexdigest()


def new_token(*, name: str, endpoints: Iterable[str], until: date | None = None) -> tuple[str, str]:
    """A fresh random token and its line for the file. Without endpoints it is good for all. Raises ValueError."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    allowed = ",".join(sorted(set(endpoints))) or "*"
    line = f"{digest_of(token)} {name} {allowed}" + (f" {until.isoformat()}" if until else "")
    TokenLine.parse(line)
    return token, line


def nobody_in_particular() -> TokenCaller:
    """The caller of a server that asks for no token. One per request: there is nobody to count requests for."""
    return TokenCaller(Principal("anonymous", "", "anonymous", tenant_id=TENANT), math.inf, endpoints=None)


def _end_of(day: str) -> float:
    try:
        last = date.fromisoformat(day)
    except ValueError:
        raise ValueError("the last day must be written YYYY-MM-DD") from None
    return (datetime.combine(last, time(), UTC) + timedelta(days=1)).timestamp()
