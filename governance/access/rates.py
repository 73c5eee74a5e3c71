"""An identity that suddenly does far more than it usually does: judged against its own mean, in windows of ten seconds.

A window is unusual when it holds more than `FLOOR` requests and more than `FACTOR` times the mean of the windows in
which the identity did anything. Steady heavy use is therefore never unusual, and use that becomes heavy is so once:
the new rate is taken into the mean, and the flag ends `STANDS_S` after the last unusual window, or with the next proof
of who it is (a token got since then).

What comes with a token is not judged before `LEARNING` windows have shown what is usual, for a program may well begin
with its full rate. Nobody clicks `FLOOR` times in ten seconds, so a browser's session is judged from the first.

Every process counts what it answers itself, and judges by that: `n` processes that share a program's requests see an
`n`-th of them each, and the floor holds for each.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from governance.principals import Principal

WINDOW_S = 10.0
FLOOR = 1_000
FACTOR = 8.0
WEIGHT = 0.2  # of the newest window in the running mean
LEARNING = 6  # windows with any request, for what comes with a token
MAX_ACCOUNTS = 10_000
STANDS_S = 600.0  # how long one unusual window is held against the account

_PROGRAM, _TOKENS, _SESSION = "program:", "tokens:", "session:"


def program(application_id: UUID | str) -> str:
    """What an application's own requests are counted under."""
    return f"{_PROGRAM}{application_id}"


def tokens_of(user_id: UUID | str) -> str:
    """What the requests of programs that a person has authorised are counted under, apart from the person's own."""
    return f"{_TOKENS}{user_id}"


def session_of(username: str) -> str:
    """What a person's requests from browsers are counted under."""
    return f"{_SESSION}{username}"


def account_of(principal: Principal) -> str:
    """What the requests of a token's principal are counted under."""
    return program(principal.id) if principal.kind == "client" else tokens_of(principal.id)


class _Account:
    __slots__ = ("count", "flagged_at", "mean", "seen", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.count = 0
        self.mean = 0.0
        self.seen = 0
        self.flagged_at = 0.0


class RateWatch:
    """Counts requests by account. Safe to use from several threads."""

    def __init__(
        self,
        *,
        floor: int = FLOOR,
        factor: float = FACTOR,
        learning: int = LEARNING,
        max_accounts: int = MAX_ACCOUNTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._floor = floor
        self._factor = factor
        self._learning = learning
        self._max_accounts = max_accounts
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, account: str, requests: int = 1) -> float:
        """Count requests made just now; answers when the account was last unusual, within `STANDS_S`, else 0."""
        now = self._clock()
        window = int(now // WINDOW_S)
        with self._lock:
            known = self._accounts.get(account)
            if known is None:
                known = self._accounts[account] = _Account(window)
                if len(self._accounts) > self._max_accounts:
                    self._accounts.popitem(last=False)
            else:
                self._accounts.move_to_end(account)
            if known.window != window:
                self._close(known, window)
            known.count += requests
            learning = 0 if account.startswith(_SESSION) else self._learning
            if (
                known.count > self._floor
                and known.count > self._factor * known.mean
                and known.seen >= learning
            ):
                known.flagged_at = now
            return known.flagged_at if now - known.flagged_at < STANDS_S else 0.0

    @staticmethod
    def _close(known: _Account, window: int) -> None:
        """Take the finished window into the mean: of all windows at first, of the recent ones later."""
        known.seen += 1
        known.mean += max(WEIGHT, 1 / known.seen) * (known.count - known.mean)
        known.window, known.count = window, 0


watch = RateWatch()
