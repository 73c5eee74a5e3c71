"""An account that suddenly does far more than it usually does: counted per process, judged against its own mean.

Requests are counted in windows. A window is unusual when it holds more than `FLOOR` requests and more than `FACTOR`
times the account's running mean of windows. One dictionary look-up per request; the hot route, whose callers are
identified from memory, is not counted here but bounded by its own limits.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

WINDOW_S = 10.0
FLOOR = 1_000
FACTOR = 8.0
WEIGHT = 0.2  # of the newest window in the running mean
MAX_ACCOUNTS = 10_000
STANDS_S = 600.0  # how long one unusual window is held against the account


class _Account:
    __slots__ = ("count", "flagged_at", "mean", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.count = 0
        self.mean = 0.0
        self.flagged_at = 0.0


class RateWatch:
    """Counts requests by account. Safe to use from several threads."""

    def __init__(
        self,
        *,
        floor: int = FLOOR,
        factor: float = FACTOR,
        max_accounts: int = MAX_ACCOUNTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._floor = floor
        self._factor = factor
        self._max_accounts = max_accounts
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, account: str) -> float:
        """Count one request; answers when the account was last unusual, within `STANDS_S`, else 0."""
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
            known.count += 1
            if known.count > self._floor and known.count > self._factor * known.mean:
                known.flagged_at = now
            return known.flagged_at if now - known.flagged_at < STANDS_S else 0.0

    @staticmethod
    def _close(known: _Account, window: int) -> None:
        """Take the finished window into the mean, and the empty ones after it."""
        known.mean += WEIGHT * (known.count - known.mean)
        known.mean *= (1 - WEIGHT) ** min(window - known.window - 1, 100)
        known.window, known.count = window, 0


watch = RateWatch()
