"""One session with a PKCS#11 token, opened again by itself whenever the token was away.

python-pkcs11 initialises the vendor's library without asking it to be thread-safe, so calls of one process take turns.
They are few: opened data keys are remembered. After a fork the child initialises the library anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11.exceptions import NoSuchKey, NoSuchToken, PinIncorrect, PinLocked, PKCS11Error

from governance.keys.errors import KeysUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

TURN_S = 10.0  # how long a call waits for another one that hangs in the vendor's library
PAUSE_S = 0.5  # between attempts to reach a token that is away

_turn = threading.Lock()


def _after_fork() -> None:
    global _turn
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Where a token is: the vendor's library, the token's label (or a slot number), and the file with the PIN."""

    module: Path
    pin_file: Path
    token: str = ""
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the token says of itself."""

    label: str
    manufacturer: str
    model: str
    serial: str
    is_hardware: bool


class TokenConnection:
    """The session of this process. Any error is followed by one fresh beginning and one more try."""

    def __init__(self, address: TokenAddress) -> None:
        self.address = address
        self.facts: TokenFacts | None = None
        self._session: Any = None
        self._owner = 0
        self._paused_until = 0.0
        self._problem = ""
        self._refused_pin = ""
        self.begun = 0
        """How often a session was begun: what belongs to a session is worth nothing in the next."""

    def run(self, work: Callable[[Any], T]) -> T:
        """Do `work` with the session. Raises KeysUnavailable when the token is out of reach.

        What fails twice, the second time in a fresh session of a token that answers, is raised as it came.
        """
        if not _turn.acquire(timeout=TURN_S):
            raise KeysUnavailable("the token's library does not return")
        try:
            if self._session is None or self._owner != os.getpid():
                self._begin()
                return work(self._session)
            try:
                return work(self._session)
            except PKCS11Error:
                self._begin()
                return work(self._session)
        finally:
            _turn.release()

    def present(self) -> bool:
        """Whether the token is in its slot now."""
        return self.run(lambda _session: self._find(pkcs11.lib(str(self.address.module)))) is not None

    def _begin(self) -> None:
        if time.monotonic() < self._paused_until and self._owner == os.getpid():
            raise KeysUnavailable(self._problem)
        self._session, self._owner = None, os.getpid()
        try:
            self._session = self._open()
        except (PKCS11Error, OSError) as error:
            self._problem = _in_words(error, self.address)
            self._paused_until = time.monotonic() + PAUSE_S
            log.warning("the key token is out of reach: %s", self._problem)
            raise KeysUnavailable(self._problem) from error
        self._problem, self.begun = "", self.begun + 1

    def _open(self) -> Any:
        library = pkcs11.lib(str(self.address.module))
        if library.initialized:
            try:
                library.finalize()
            except (
                PKCS11Error
            ) as error:  # a child that has not initialised it yet is told so; it does so below
                log.debug("finalising the token's library: %s", type(error).__name__)
        library.initialize()
        token = self._find(library)
        pin = self.address.pin_file.read_text(encoding="utf-8").strip()
        fingerprint = hashlib.sha256(pin.encode()).hexdigest()
        if fingerprint == self._refused_pin:
            raise PinIncorrect  # asking again with the same PIN would lock the token
        try:
            session = token.open(rw=True, user_pin=pin)
        except (PinIncorrect, PinLocked):
            self._refused_pin = fingerprint
            raise
        self._refused_pin = ""
        self.facts = TokenFacts(
            label=token.label.strip(),
            manufacturer=token.manufacturer_id.strip(),
            model=token.model.strip(),
            serial=token.serial.decode(errors="replace").strip(),
            is_hardware=bool(token.slot.flags & pkcs11.SlotFlag.HW_SLOT),
        )
        return session

    def _find(self, library: Any) -> Any:
        for token in library.get_tokens():
            label_fits = not self.address.token or token.label.strip() == self.address.token
            slot_fits = self.address.slot is None or token.slot.slot_id == self.address.slot
            if label_fits and slot_fits and token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                return token
        raise NoSuchToken


def _in_words(error: Exception, address: TokenAddress) -> str:
    """What to tell an administrator; never the text of the vendor's library."""
    if isinstance(error, NoSuchToken):
        return f"there is no token {address.token or address.slot!r}"
    if isinstance(error, PinLocked):
        return "the token's PIN is locked"
    if isinstance(error, PinIncorrect):
        return "the token refuses the PIN in its file"
    if isinstance(error, NoSuchKey):
        return "the token does not hold the key"
    if isinstance(error, OSError):
        return "the file of the PIN cannot be read"
    if type(error) is PKCS11Error:
        return "the token's library cannot be loaded"
    return f"the token does not answer ({type(error).__name__})"
